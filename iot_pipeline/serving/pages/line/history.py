"""The published days of one machine: time in state, integral of the current, unbalance and vibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.bars import Bars, named_bars
from iot_pipeline.serving.pages.parts.charts import option_chart
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.tables import Cell, Column, table
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, decimals

REPORTS = ("line-states", "line-currents", "line-vibration")
KINDS = {"states": "Time in state", "charge": "Current integral", "unbalance": "Unbalance", "vibration": "Vibration"}
STATE_TONES = {"running": "--c4", "idle": "--c6", "setup": "--c1", "fault": "--bad", "maintenance": "--c2"}
OTHER_STATE_TONE = "--c3"
_ORIGINS = {
    "states": ("machine_state_hour", "line-states"),
    "charge": ("machine_current_hour", "line-currents"),
    "unbalance": ("machine_current_hour", "line-currents"),
    "vibration": ("machine_vibration_hour", "line-vibration"),
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one kind of history shows: bars by day, whether they stand upon each other, and a table."""

    days: tuple[str, ...]
    bars: tuple[Bars, ...]
    unit: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    stacked: bool = False


def state_tone(state: str) -> str:
    """The colour of a state, a CSS variable."""
    return STATE_TONES.get(state.casefold(), OTHER_STATE_TONE)


def drawn(kind: str, frames: Mapping[str, pl.DataFrame]) -> Drawn | None:
    """What `kind` shows of the reports by day; None when nothing is published."""
    if kind == "states":
        return _states(frames["line-states"])
    if kind == "vibration":
        return _vibration(frames["line-vibration"])
    return _currents(frames["line-currents"], kind)


def _states(frame: pl.DataFrame) -> Drawn | None:
    if frame.is_empty():
        return None
    days = _days(frame)
    hours = {
        (f"{time:%Y-%m-%d}", state): seconds / 3600
        for time, state, seconds in frame.select("time", "state", "duration").iter_rows()
    }
    entries = {
        (f"{time:%Y-%m-%d}", state): count
        for time, state, count in frame.select("time", "state", "entries").iter_rows()
    }
    total = frame.group_by("state").agg(pl.col("duration").sum()).sort("duration", "state", descending=[True, False])
    names: list[str] = total["state"].to_list()
    bars = tuple(Bars(name, [hours.get((day, name)) for day in days], state_tone(name)) for name in names)
    rows = tuple(
        (day, *(_told(hours.get((day, name)), entries.get((day, name))) for name in names)) for day in reversed(days)
    )
    hint = "hours in it, and how often it was entered"
    columns = (Column("Day"), *(Column(name, "h", numeric=True, hint=hint) for name in names))
    return Drawn(days, bars, "h", columns, rows, stacked=True)


def _currents(frame: pl.DataFrame, kind: str) -> Drawn | None:
    if frame.is_empty():
        return None
    rows = list(frame.iter_rows(named=True))
    days = _days(frame)
    if kind == "charge":
        bars = [Bars(f"L{phase}", [row[f"charge_l{phase}"] for row in rows], f"--c{phase}") for phase in (1, 2, 3)]
        columns = [Column("Day"), *(Column(f"L{phase}", "A·h", numeric=True) for phase in (1, 2, 3))]
        columns.append(Column("Covered", "%", numeric=True, hint="Part of the day that the integrals cover"))
        names: tuple[str, ...] = ("charge_l1", "charge_l2", "charge_l3", "coverage")
        unit = "A·h"
    else:
        bars = [
            Bars("of the day", [row["unbalance"] for row in rows], "--c1"),
            Bars("worst minute under load", [row["unbalance_worst_minute"] for row in rows], "--c2"),
        ]
        columns = [
            Column("Day"),
            Column("Unbalance", "%", numeric=True, hint="Of the means, as NEMA MG 1 has it for voltages"),
            Column("Worst minute", "%", numeric=True, hint="Under load"),
            Column("Peak", "A", numeric=True, hint="Largest current of any phase"),
        ]
        names, unit = ("unbalance", "unbalance_worst_minute", "peak"), "%"
    table_rows = tuple((f"{row['time']:%Y-%m-%d}", *(_two(row[name]) for name in names)) for row in reversed(rows))
    return Drawn(days, tuple(bars), unit, tuple(columns), table_rows)


def _vibration(frame: pl.DataFrame) -> Drawn | None:
    if frame.is_empty():
        return None
    rows = list(frame.iter_rows(named=True))
    bars = (
        Bars("mean", [row["mean"] for row in rows], "--c6"),
        Bars("95 % of readings below", [row["p95"] for row in rows], "--c1"),
    )
    columns = (
        Column("Day"),
        Column("Mean", "mm/s rms", numeric=True),
        Column("p95", "mm/s rms", numeric=True, hint="Largest of the day's hours"),
        Column("Zone", hint="Of p95, by ISO 10816-3"),
        *(Column(f"In {zone}", "%", numeric=True, hint=f"Share of readings in zone {zone}") for zone in "ABCD"),
    )
    shares = ("zone_a", "zone_b", "zone_c", "zone_d")
    table_rows = tuple(
        (
            f"{row['time']:%Y-%m-%d}",
            _two(row["mean"]),
            _two(row["p95"]),
            row["zone"],
            *(_two(row[one]) for one in shares),
        )
        for row in reversed(rows)
    )
    return Drawn(_days(frame), bars, "mm/s rms", columns, table_rows)


def machine_history(name: str, frames: Mapping[str, pl.DataFrame]) -> None:
    """The card of a machine's published days."""
    with box("card"):
        with box("card-head"):
            with box():
                text(f"{name} by day", "card-title", tag="h2")
                text("Computed from all readings when a day is over. Days are UTC.", "card-sub", tag="p")
            kind = Segments(KINDS, "states", lambda _: draw(), label="What is shown")
        place = box("stack")

    def draw() -> None:
        place.clear()
        with place:
            _draw(name, drawn(kind.chosen, frames), kind.chosen)

    draw()


def _draw(name: str, shown: Drawn | None, kind: str) -> None:
    if shown is None:
        states.empty(
            "No day of this machine has been published yet.",
            "Each day appears shortly after 00:20 UTC of the next; what is above is live.",
        )
    else:
        options = named_bars(shown.days, shown.bars, unit=shown.unit, stacked=shown.stacked)
        option_chart(options, label=f"{KINDS[kind]} of {name} by day, {shown.unit}", height=240)
        with box("", tag="details"):
            text("As a table", tag="summary")
            rows: list[Sequence[Cell]] = [list(row) for row in shown.rows]
            table(shown.columns, rows, label=f"{KINDS[kind]} of {name} by day")
    model, report = _ORIGINS[kind]
    with box("origins"):
        links.dagster_asset(model)
        links.dbt_model(model)
        links.report_link(report)


def _days(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(f"{day:%Y-%m-%d}" for day in frame["time"].unique().sort().to_list())


def _told(hours: float | None, entries: int | None) -> str:
    return NO_VALUE if hours is None else f"{hours:.2f} ({entries or 0})"


def _two(value: float | None) -> str:
    return decimals(value, 2)
