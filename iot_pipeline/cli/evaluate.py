"""`iot evaluate`: detectors on somebody's own history, or on labelled sets. Neither Dagster nor a database is asked."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iot_pipeline.cli.application import JsonOption, app
from iot_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    import polars as pl

    from iot_pipeline.anomalies.evaluation.history import History

LEAST_BUDGET, MOST_BUDGET = 1e-6, 1e6
"""False alerts a device-day: one in three thousand years, and more than there are readings."""


@app.command()
def evaluate(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="CSV or Parquet, long or wide.")] = None,
    *,
    fit_until: Annotated[
        str | None,
        typer.Option(metavar="TS", help="Learn from what lies before (UTC). [default: see docs/anomalies.md]"),
    ] = None,
    budget: Annotated[float, typer.Option(metavar="N", help="False alerts wanted per device-day.")] = 0.1,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the scores here, as Parquet.")] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns to look at. [default: value, or all numbers]")
    ] = None,
    ts_unit: Annotated[
        str | None, typer.Option(metavar="s|ms|us|ns", help="Unit of numeric times. [default: by their size]")
    ] = None,
    sets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead of a file: the labelled sets in this folder.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--set", metavar="A,B", help="Of these: nab, skab, lro_water, ucr6, nasa, injected.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="With --sets: shipped, random, global_z, kmeans_minute, or a detector alone; each for all of them.",
        ),
    ] = None,
    series: Annotated[int | None, typer.Option(metavar="N", min=1, help="With --sets: so many series of each.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="With --sets: of the injected faults.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Score a history walking forward in time, and with labels say how right the scores are.

    FILE has the columns series, ts and value (long form), or series, ts and one column a channel (wide form: all
    channels of a series are one device), and label (0 or 1), if you have it. ts is a time, ISO 8601 text or a number
    since 1970; times without a zone are UTC. The rows may stand in any order.

    --out gets one row for each row of FILE, in its order: series, ts, score (1.0 is the alert threshold), flag, type,
    expected_low, expected_high, reason. What lies before the begin of scoring has score 0 and the reason "learning".
    Each score is made from the past alone. The file is replaced only when all is done.

    \b
    Examples:
      iot evaluate pump.csv
      iot evaluate pump.parquet --fit-until 2026-11-01 --budget 0.1 --out scores.parquet
      iot evaluate motor.csv --channels current,vibration --json
      iot evaluate --sets labelled/ --set nab,skab --detector shipped,random
    """
    from iot_pipeline.anomalies.evaluation.report import print_measures, print_table

    if (file is None) == (sets is None):
        raise ConfigurationError("name a FILE, or a folder with --sets; see `iot evaluate --help`")
    if out is not None and out.suffix.lower() not in {".parquet", ".pq"}:
        raise ConfigurationError(f"--out {out}: scores are written as Parquet; expected a name such as scores.parquet")
    if not LEAST_BUDGET <= budget <= MOST_BUDGET:
        raise ConfigurationError(
            f"--budget {budget}: expected false alerts per device-day, from {LEAST_BUDGET:g} to {MOST_BUDGET:g}"
        )
    if out is not None:
        _refuse_out(out, file)
    if file is not None:
        history, scored, seconds = _score(file, fit_until, budget, channels, ts_unit)
        # Before they are written: what was measured is not lost with a full disk.
        print_measures(history, scored, budget, seconds, sys.stdout, as_json=as_json)
        if out is not None:
            _write(scored, out)
        return
    if sets is not None:
        table = _measure(sets, only=only, detector=detector, series=series, seed=seed, budget=budget)
        if out is not None:
            _write(table, out)
        if as_json:
            typer.echo(json.dumps(table.to_dicts(), indent=1))
        else:
            print_table(table, sys.stdout)


def _refuse_out(out: Path, file: Path | None) -> None:
    """Before the work: scores that cannot be written, or would replace what they are made from."""
    if out.is_dir():
        raise ConfigurationError(f"--out {out}: this is a folder; expected a name such as {out / 'scores.parquet'}")
    if file is not None and out.exists() and file.exists() and out.samefile(file):
        raise ConfigurationError(f"--out {out}: this is the file with the readings, left as it is; name another one")
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigurationError(f"--out {out}: {folder} cannot be written in; nothing was scored, name another file")


def _score(
    file: Path, fit_until: str | None, budget: float, channels: str | None, ts_unit: str | None
) -> "tuple[History, pl.DataFrame, float]":
    """The history, its scores and the seconds that learning and scoring took."""
    from time import perf_counter

    from iot_pipeline.anomalies.evaluation.history import read_history
    from iot_pipeline.anomalies.evaluation.walk import walk_forward

    until = None if fit_until is None else _instant(fit_until)
    history = read_history(file, channels=_names(channels), ts_unit=ts_unit)
    for sentence in history.told:
        typer.echo(sentence, err=True)
    began = perf_counter()
    with typer.progressbar(length=history.frame.height, label="scoring", file=sys.stderr) as bar:
        scored = walk_forward(
            history.frame.with_columns(history.instants),
            fit_until=until,
            budget=budget,
            channels=history.channels,
            progress=lambda done, _: bar.update(done - bar.pos),
        )
        bar.update(history.frame.height - bar.pos)
    return history, scored.with_columns(history.frame["ts"]), perf_counter() - began


def _measure(
    folder: Path, *, only: str | None, detector: str | None, series: int | None, seed: int, budget: float
) -> "pl.DataFrame":
    from iot_pipeline.anomalies.evaluation.benchmark import DETECTORS, EACH, SETS, run_all, table

    results = run_all(
        folder,
        sets=_names(only) or SETS,
        detectors=EACH if detector == "each" else _names(detector) or DETECTORS,
        series=series,
        seed=seed,
        budget=budget,
        step=lambda told: typer.echo(told, err=True),
    )
    return table(list(results))


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _instant(text: str) -> datetime:
    import polars as pl

    from iot_pipeline.anomalies.evaluation.stamps import read_stamps

    try:
        instant = read_stamps(pl.Series("ts", [text])).us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")[0]
    except ConfigurationError as error:
        raise ConfigurationError(f"--fit-until {text!r}: expected a time such as 2026-11-22T10:00 (UTC)") from error
    if not isinstance(instant, datetime):
        raise ConfigurationError(f"--fit-until {text!r}: expected a time such as 2026-11-22T10:00 (UTC)")
    return instant


def _write(frame: "pl.DataFrame", path: Path) -> None:
    from iot_pipeline.files import write_parquet

    write_parquet(frame, path)
    typer.echo(f"{frame.height} rows written to {path}", err=True)
