"""`python -m iot_pipeline.anomalies.evaluation FOLDER [SET...]`: the benchmark for those who work on detectors."""

import argparse
import sys
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.evaluation.benchmark import DETECTORS, SETS, SHIPPED, half, load_set, run, sample, table
from iot_pipeline.anomalies.evaluation.measure import recall_by_kind

COLUMNS = [
    "set",
    "detector",
    "series",
    "events",
    "vus_pr",
    "vus_pr_random",
    "nab",
    "nab_alerts",
    "nab_low_fp",
    "recall",
    "recall_at_budget",
    "false_per_day",
    "time_in_alarm",
    "f1",
    "far",
    "mar",
    "delay_s",
    "us_per_reading",
]


def main() -> None:
    """Run what was asked and print a line a result."""
    parser = argparse.ArgumentParser(prog="python -m iot_pipeline.anomalies.evaluation", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--detector", action="append", help=f"{', '.join(DETECTORS)} [default: {SHIPPED}]")
    parser.add_argument("--series", type=int, help="at most so many series of each set")
    parser.add_argument("--half", choices=["develop", "held-out"], help="one half of the series, by hash of the name")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--budget", type=float, default=0.1)
    asked = parser.parse_args()
    for name in asked.sets:
        labelled = load_set(asked.folder, name, seed=asked.seed)
        if asked.half:
            labelled = half(labelled, held_out=asked.half == "held-out")
        if asked.series:
            labelled = sample(labelled, series=asked.series)
        for detector in asked.detector or [SHIPPED]:
            result = run(labelled, detector, budget=asked.budget, at_budget=True)
            with pl.Config(tbl_cols=-1, tbl_width_chars=240, float_precision=3, tbl_hide_column_data_types=True):
                sys.stdout.write(f"{table([result]).select(COLUMNS)}\n")
                if "fault" in result.rows.columns:
                    sys.stdout.write(f"{recall_by_kind(result.rows)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
