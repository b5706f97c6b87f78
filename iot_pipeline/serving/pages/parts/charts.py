"""Charts: series over time with expected band and flags, and any other ECharts options in the look of the pages.

What is drawn is plain data; ECharts comes with NiceGUI, and `static/chart.js` draws in the viewer's zone and colours.
Names from outside may be values in options, never keys: NiceGUI and ECharts give meaning to keys.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from iot_pipeline.serving.pages.parts.markup import Tag

_COMPONENT = Path(__file__).parent.parent / "static" / "chart.js"

# What a browser sent may be anything.
Picked = Callable[[Any], Awaitable[None] | None]
Kind = Literal["line", "step", "bar", "points", "area"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A named series: instants with values, None is a gap. `colour` is a CSS variable such as `--c2`."""

    name: str
    points: Sequence[tuple[datetime, float | None]]
    kind: Kind = "line"
    colour: str | None = None
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """What was expected: instants with the lower and the upper end."""

    points: Sequence[tuple[datetime, float | None, float | None]]
    name: str = "expected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A flagged reading: shown as a mark, with its reason on hover. `severity` is notice, warning or critical."""

    ts: datetime
    value: float
    reason: str
    severity: str = "warning"


class Chart(Element, component=_COMPONENT):
    """The chart's element; made by `series_chart` and `option_chart`."""

    def __init__(self, spec: Mapping[str, Any], *, label: str, height: int, on_pick: Picked | None) -> None:
        _ = ui.echart  # registers the library that the component imports
        super().__init__()
        self.classes("chart").style(f"height: {height}px")
        self._update_method = "refresh"
        self.props["label"] = label
        self.props["spec"] = dict(spec)
        if on_pick is not None:
            self.props["pickable"] = True

            async def picked(event: GenericEventArguments) -> None:
                done = on_pick(event.args)
                if done is not None:
                    await done

            self.on("pick", picked)

    def show(self, spec: Mapping[str, Any], *, label: str | None = None) -> None:
        """Draw something else in the same place; nothing is sent when it is the same."""
        if label is not None:
            self.props["label"] = label
        if self.props["spec"] != spec:
            self.props["spec"] = dict(spec)
            self.update()


def series_chart(
    *,
    label: str,
    unit: str | None,
    lines: Sequence[Line],
    band: Band | None = None,
    marks: Sequence[Mark] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    height: int = 260,
    on_pick: Callable[[datetime], Awaitable[None] | None] | None = None,
) -> Chart:
    """Values over time with their unit on the axis; `label` says in words what is drawn, for screen readers.

    Args:
        label: what the chart shows, such as `temperature of ws-1, last 24 hours`.
        unit: unit of all lines.
        lines: the series.
        band: drawn behind the lines.
        marks: flagged readings.
        since: begin of the axis; default: the first point.
        until: end of the axis; default: the last point.
        height: in pixels.
        on_pick: called with the instant (UTC) of the point nearest to where somebody clicked.
    """
    spec = series_spec(unit=unit, lines=lines, band=band, marks=marks, since=since, until=until)

    async def picked(args: Any) -> None:
        ts = args.get("ts") if isinstance(args, dict) else None
        if on_pick is not None and isinstance(ts, (int, float)) and 0 <= ts < 1e14:
            done = on_pick(datetime.fromtimestamp(ts / 1000, UTC))
            if done is not None:
                await done

    return Chart(spec, label=label, height=height, on_pick=picked if on_pick else None)


def series_spec(
    *,
    unit: str | None,
    lines: Sequence[Line],
    band: Band | None = None,
    marks: Sequence[Mark] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """What `static/chart.js` draws; for `Chart.show`. Instants become milliseconds."""
    return {
        "unit": unit or "",
        "since": _ms(since) if since else None,
        "until": _ms(until) if until else None,
        "lines": [
            {
                "name": line.name,
                "kind": line.kind,
                "colour": line.colour,
                "dashed": line.dashed,
                "points": [[_ms(ts), value] for ts, value in line.points],
            }
            for line in lines
        ],
        "band": (
            {"name": band.name, "points": [[_ms(ts), low, high] for ts, low, high in band.points]} if band else None
        ),
        "marks": [[_ms(mark.ts), mark.value, mark.reason, mark.severity] for mark in marks],
    }


def option_chart(
    options: Mapping[str, Any],
    *,
    label: str,
    height: int = 260,
    on_pick: Picked | None = None,
) -> Chart:
    """Any ECharts options, in the look of the pages.

    Colours may be CSS variables: `"color": "var(--c2)"`. A series may carry `"unit"`, which its tooltip shows.
    `on_pick` is called with `{seriesName, name, value, dataIndex}` of the item that was clicked.
    """
    return Chart({"options": dict(options)}, label=label, height=height, on_pick=on_pick)


def option_spec(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same for `Chart.show`."""
    return {"options": dict(options)}


def _ms(ts: datetime) -> int:
    return round(ts.timestamp() * 1000)


def sparkline(values: Sequence[float | None], *, label: str, from_zero: bool = False) -> Element:
    """A line without axes, as wide as its place; `label` says in words what it shows."""
    points = " ".join("-" if value is None else f"{value:.6g}" for value in values)
    tag = Tag("iot-spark", "", "spark", points=points, role="img", aria_label=label)
    return tag.set(zero="") if from_zero else tag
