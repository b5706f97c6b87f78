"""Figures for people: what was measured on one history, and tables of sets and detectors. Nothing is computed here."""

import json
import math
from dataclasses import asdict
from typing import TextIO

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iot_pipeline.anomalies.evaluation.history import History
from iot_pipeline.anomalies.evaluation.measure import Measures, measure

NAB_SETS = ("nab",)
"""Sets that the NAB score is meant for: elsewhere its windows are no windows."""

COLUMNS = {
    "set": "set",
    "detector": "detector",
    "events": "events",
    "base_rate": "base rate",
    "vus_pr_random": "VUS-PR random",
    "vus_pr": "VUS-PR",
    "nab": "NAB",
    "nab_alerts": "NAB, alerts",
    "recall": "recall",
    "false_per_day": "false /day",
    "time_in_alarm": "in alarm",
    "recall_at_budget": "recall, best threshold",
    "delay_s": "delay s",
    "f1": "F1",
    "far": "FAR",
    "mar": "MAR",
    "us_per_reading": "µs /reading",
}


def print_measures(
    history: History, scored: pl.DataFrame, budget: float, seconds: float, out: TextIO, *, as_json: bool
) -> None:
    """Say what came out: alerts by series without labels, all measures with them."""
    rows = scored.with_columns(
        history.instants,
        history.frame[history.channels[0]].alias("value"),
        pl.lit(value=False).alias("label") if history.label is None else history.label,
    )
    found = measure(rows, budget=budget)
    # Of some rows that are only learned from it would be the time to get ready.
    micros = 1e6 * seconds / scored.height if found.readings else math.nan
    if as_json:
        told: dict[str, object] = {**asdict(found), "us_per_reading": micros, "labelled": history.label is not None}
        out.write(json.dumps({name: _plain(value) for name, value in told.items()}, indent=1) + "\n")
        return
    lines = _lines(found, micros) if history.label is not None else _unlabelled(found, micros)
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    for name, value, hint in lines:
        table.add_row(Text(name), Text(value, justify="right"), Text(hint, style="dim"))
    _console(out).print(table)


def print_table(table: pl.DataFrame, out: TextIO) -> None:
    """One line a set and detector."""
    shown = Table(show_edge=False, pad_edge=False)
    for name in COLUMNS.values():
        shown.add_column(Text(name), justify="left" if name in {"set", "detector"} else "right")
    for row in cells_of(table):
        shown.add_row(*[Text(cell) for cell in row])
    _console(out).print(shown)


def markdown(table: pl.DataFrame) -> str:
    """The same as Markdown, for documents and for metadata of an asset."""
    lines = [list(COLUMNS.values()), ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2), *cells_of(table)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells_of(table: pl.DataFrame) -> list[list[str]]:
    """The cells of COLUMNS as texts, a list a row."""
    return [[_cell(name, row) for name in COLUMNS] for row in table.iter_rows(named=True)]


def _cell(name: str, row: dict[str, object]) -> str:
    value = row[name]
    if name == "detector" and row["sees_future"]:
        return f"{value} (sees the future)"
    if name.startswith("nab") and row["set"] not in NAB_SETS:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if name in {"nab", "nab_alerts", "us_per_reading"}:
        return f"{value:.1f}"
    return f"{value:.0f}" if name == "delay_s" else f"{value:.3f}"


def _lines(found: Measures, micros: float) -> list[tuple[str, str, str]]:
    return [
        ("series", f"{found.series}", _scored(found)),
        (
            "VUS-PR",
            _text(found.vus_pr),
            f"random scores: {_text(found.vus_pr_random)}; base rate {_text(found.base_rate)}",
        ),
        ("events", f"{found.events}", "stretches of rows with a label"),
        ("event recall", _text(found.recall), f"{found.found} found by an alert that began inside them"),
        ("delay", _seconds(found.delay_s), "median, from the begin of an event"),
        ("false alerts", _text(found.false_per_day), "per device-day; one that lasts counts again each day"),
        ("time in alarm", _text(found.time_in_alarm), f"outside of events {_text(found.clean_time_in_alarm)}"),
        ("F1 of rows", _text(found.f1), f"false alarm rate {_text(found.far)}, missing alarm rate {_text(found.mar)}"),
        ("NAB score", f"{found.nab_alerts:.1f}", f"of alerts, best threshold; of all rows {found.nab:.1f}"),
        ("speed", _text(micros, 1), "microseconds per reading, learning included"),
    ]


def _unlabelled(found: Measures, micros: float) -> list[tuple[str, str, str]]:
    return [
        ("series", f"{found.series}", _scored(found)),
        ("alerts", _text(found.false_per_day), "per device-day"),
        ("time in alarm", _text(found.time_in_alarm), "share of the rows scored"),
        ("speed", _text(micros, 1), "microseconds per reading, learning included"),
        ("measures", "-", "need a column label, 0 or 1"),
    ]


def _scored(found: Measures) -> str:
    if not found.readings:
        return "no row was scored: all lie in the part that is learned from; --fit-until ends it earlier"
    return f"{found.readings} rows scored, {found.device_days:.4g} device-days"


def _text(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f} s"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _console(out: TextIO) -> Console:
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    return console
