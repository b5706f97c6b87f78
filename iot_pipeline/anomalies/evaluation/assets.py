"""The evaluation as a Dagster asset: how right kept flags and detectors are. What is measured is plain Python."""

import base64
from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from iot_pipeline.anomalies.assets import FLAGS
from iot_pipeline.anomalies.evaluation.plots import recall_by_fault, vus_by_set
from iot_pipeline.anomalies.evaluation.truth import evaluate_labels
from iot_pipeline.clock import MINUTE, floor_minute, minute_key, utc_now
from iot_pipeline.files import write_parquet
from iot_pipeline.settings import Settings

EVALUATION = dg.AssetKey("anomaly_evaluation")

SETTLED = timedelta(minutes=3)
"""Minutes as young as this may not have been flagged yet."""


class EvaluationConfig(dg.Config):
    """Launchpad configuration of the evaluation."""

    hours: float = 6.0
    """How far back the kept flags are compared with the simulators' truth."""

    series: int = 4
    """So many series of each labelled set, those with the smallest hashes of their names; 0 takes all."""


def evaluation_assets(settings: Settings) -> dg.AssetsDefinition:
    """`anomaly_evaluation`: tables of recall, false alerts and delay, and pictures of them."""

    @dg.asset(
        key=EVALUATION,
        deps=[FLAGS],
        group_name="anomalies",
        kinds={"polars", "parquet"},
        owners=["team:data"],
        description=(
            "How right the flags of the last hours are against the truth that the simulators write beside what they "
            "inject; and each detector and baseline on the labelled sets of IOT_LABELLED_SETS, past data only, on some "
            "series of each set. An event counts as found when an alert begins inside it."
        ),
    )
    def anomaly_evaluation(context: dg.AssetExecutionContext, config: EvaluationConfig) -> dg.MaterializeResult[None]:
        last = floor_minute(utc_now() - SETTLED)
        first = last - timedelta(hours=config.hours)
        truth = evaluate_labels(settings, first, last)
        write_parquet(truth, settings.paths.evaluation / "truth.parquet")
        metadata = _truth_metadata(truth, first, last)
        if settings.labelled_sets is not None:
            # Brings the detectors' libraries along, which no other run needs.
            from iot_pipeline.anomalies.evaluation.benchmark import run_all, table  # noqa: PLC0415
            from iot_pipeline.anomalies.evaluation.report import markdown  # noqa: PLC0415

            results = run_all(settings.labelled_sets, series=config.series or None, step=context.log.info)
            measured = table(list(results))
            write_parquet(measured, settings.paths.evaluation / "sets.parquet")
            metadata |= {
                "labelled_sets": dg.MetadataValue.md(markdown(measured)),
                "vus_pr_by_set": _picture(vus_by_set(measured)),
            }
        return dg.MaterializeResult(metadata=metadata)

    return anomaly_evaluation


def _truth_metadata(truth: pl.DataFrame, first: datetime, last: datetime) -> dict[str, dg.MetadataValue]:
    overall = truth.filter(pl.col("fault") == "any")
    return {
        "minutes": dg.MetadataValue.text(f"{minute_key(first)} to {minute_key(last + MINUTE)}"),
        "dagster/row_count": dg.MetadataValue.int(truth.height),
        "labelled_faults": dg.MetadataValue.int(int(overall["labels"].max() or 0)),  # type: ignore[arg-type]
        "truth": dg.MetadataValue.md(_markdown(truth)),
        "recall_by_fault": _picture(recall_by_fault(truth)),
    }


def _markdown(truth: pl.DataFrame) -> str:
    names = ["detector", "fault", "labels", "found", "recall", "delay_seconds", "false_alerts_per_device_day"]
    cells = [
        ["-" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in truth.select(names).iter_rows()
    ]
    lines = [names, ["---"] * 2 + ["---:"] * 5, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(png: bytes) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")
