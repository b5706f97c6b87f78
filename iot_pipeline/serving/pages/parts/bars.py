"""Bars and lines of hours on the viewer's clock, or of days and months by their (UTC) dates. Options for ECharts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Bars:
    """Values of one thing, as many as there are periods; None is a gap. `colour` is a CSS variable such as `--c2`."""

    name: str
    values: Sequence[float | None]
    colour: str


def hour_bars(
    starts: Sequence[datetime], bars: Sequence[Bars], *, unit: str | None, running: bool = False
) -> dict[str, Any]:
    """Stacked bars of hours that begin at `starts` (UTC); the last one is paler when the hour is still `running`."""
    points = [round(start.timestamp() * 1000) for start in starts]
    axis = {
        "type": "time",
        "axisLabel": {"hideOverlap": True},
        "splitNumber": 4,
        **({"min": _ms(starts[0] - _HALF_HOUR), "max": _ms(starts[-1] + _HALF_HOUR)} if starts else {}),
    }
    data = [[[at, value] for at, value in zip(points, one.values, strict=True)] for one in bars]
    return _options(axis, bars, data, unit=unit, running=running)


def named_bars(names: Sequence[str], bars: Sequence[Bars], *, unit: str | None, stacked: bool = True) -> dict[str, Any]:
    """Bars with a name each, such as the days 2026-11-21; upon each other, or beside each other."""
    axis = {"type": "category", "data": list(names), "axisLabel": {"hideOverlap": True}, "axisTick": {"show": False}}
    options = _options(axis, bars, [list(one.values) for one in bars], unit=unit, running=False)
    if not stacked:
        for series in options["series"]:
            del series["stack"]
    return options


def named_lines(names: Sequence[str], lines: Sequence[Bars], *, unit: str | None) -> dict[str, Any]:
    """Lines over the same names; their axis need not begin at zero."""
    options = named_bars(names, lines, unit=unit, stacked=False)
    for series, line in zip(options["series"], lines, strict=True):
        series |= {"type": "line", "symbolSize": 5, "lineStyle": {"color": f"var({line.colour})", "width": 1.75}}
    del options["yAxis"]["min"]
    options["yAxis"]["scale"] = True
    options["tooltip"]["axisPointer"] = {"type": "line"}
    return options


def _options(
    axis: dict[str, Any], bars: Sequence[Bars], data: list[list[Any]], *, unit: str | None, running: bool
) -> dict[str, Any]:
    series = []
    for one, values in zip(bars, data, strict=True):
        shown = list(values)
        if running and shown:
            shown[-1] = {"value": shown[-1], "itemStyle": {"opacity": 0.5}}
        series.append(
            {
                "name": one.name,
                "type": "bar",
                "stack": "all",
                "unit": unit or "",
                "data": shown,
                "itemStyle": {"color": f"var({one.colour})"},
                "barMaxWidth": 26,
                "barCategoryGap": "22%",
            }
        )
    several = len(bars) > 1
    return {
        "grid": {"left": 4, "right": 8, "top": 26, "bottom": 30 if several else 4, "containLabel": True},
        **({"legend": {"bottom": 0, "left": 0, "type": "scroll", "icon": "roundRect"}} if several else {}),
        "xAxis": axis,
        "yAxis": {
            "type": "value",
            "name": unit or "",
            "nameGap": 10,
            "nameTextStyle": {"align": "left"},
            "splitNumber": 3,
            "min": 0,
        },
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "series": series,
    }


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
