"""The valves of a line: travel times by direction, the last day beside the newest hour, and the trend over days."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from iot_pipeline.serving.pages.line.view import Travel, line_of, name_of
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.bars import Bars, named_lines
from iot_pipeline.serving.pages.parts.charts import option_chart
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import show_if
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_value

_TONES = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6")


@dataclass(frozen=True, slots=True)
class Trend:
    """Medians of a valve's direction by day, and their slope per day; None below three days."""

    valve: str
    direction: str
    unit: str | None
    days: tuple[tuple[str, float], ...]
    slope: float | None


def trends(frame: pl.DataFrame, line: str) -> list[Trend]:
    """Rows of the report `line-valves` of one line, by valve and direction, opening first."""
    found = []
    for (valve, direction, unit), rows in frame.group_by(["valve", "direction", "unit"], maintain_order=True):
        if line_of(valve) == line:
            ordered = rows.sort("day")
            days = tuple((f"{day:%Y-%m-%d}", median) for day, median in ordered.select("day", "median").iter_rows())
            found.append(Trend(valve, direction, unit, days, ordered["trend"][-1]))
    return sorted(found, key=lambda one: (one.valve, one.direction != "open", one.unit or ""))


class Valves:
    """The card of all valves of a line."""

    def __init__(self) -> None:
        self._slopes: dict[tuple[str, str, str | None], float | None] = {}
        with box("card"):
            with box("card-head"):
                text("Valve travel times", "card-title", tag="h2")
                text("live, by direction", "card-sub")
            columns = [
                Column("Valve", "link"),
                Column("Direction"),
                Column("Last", "num"),
                Column("24 h", "spark", "Means by hour"),
                Column("Newest hour", "num", "Mean of the newest hour beside the mean of the hours before it"),
                Column("Trend", "num", "Slope of the daily medians; needs three published days"),
            ]
            self._table = LiveTable(columns, label="Travel times of the valves")
            self._none = text("No stroke was heard lately.", "muted", tag="p")
            self._days = box("stack")
            with box("origins"):
                links.dagster_asset("valve_travel_day")
                links.dbt_model("valve_travel_day")
                links.report_link("line-valves")

    def show(self, found: Sequence[Travel]) -> None:
        """Tell of the newest strokes."""
        rows = []
        for one in found:
            points = " ".join(f"{hour.mean:.6g}" for hour in one.hours)
            slope = self._slopes.get((one.device_id, one.direction, one.unit))
            told = f"{one.name} {one.direction}: means of {len(one.hours)} hours"
            rows.append(
                [
                    Cell(one.name, url=links.device_url(one.device_id)),
                    Cell(one.direction),
                    Cell(format_value(one.last, one.unit)),
                    Cell(points, title=told),
                    Cell(signed(one.drift, "%", 1)),
                    Cell(signed(slope, f"{one.unit or ''}/d", 2)),
                ]
            )
        self._table.show(rows)
        show_if(self._none, not rows)

    def show_trends(self, found: Sequence[Trend]) -> None:
        """Tell of the published days."""
        self._slopes = {(one.valve, one.direction, one.unit): one.slope for one in found}
        self._days.clear()
        with self._days:
            if not found:
                states.empty(
                    "No day of strokes has been published yet.",
                    "Each day appears shortly after 00:20 UTC of the next; a trend needs three of them.",
                )
                return
            names = sorted({day for one in found for day, _ in one.days})
            lines = []
            for at, one in enumerate(found):
                by_day = dict(one.days)
                name = f"{name_of(one.valve)} {one.direction}"
                lines.append(Bars(name, [by_day.get(day) for day in names], _TONES[at % len(_TONES)]))
            unit = found[0].unit
            text("Median by day", "card-sub", tag="p")
            option_chart(named_lines(names, lines, unit=unit), label="Median travel times by day", height=210)


def signed(value: float | None, unit: str, decimals: int) -> str:
    """With its sign."""
    if value is None:
        return NO_VALUE
    rounded = round(value, decimals) + 0.0
    return f"{rounded:+.{decimals}f} {unit}".replace("-", "\u2212") if rounded else f"0 {unit}"
