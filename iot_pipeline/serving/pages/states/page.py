"""The page of the US states: the four figures of the older system in their order, and a tile for each state.

What it shows is computed in `states/view.py`; the colours are `states/temperature_colours.py`.
"""

from collections.abc import Mapping, Sequence

from nicegui import background_tasks, ui

from iot_pipeline.clock import utc_now
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import Clock, put, put_class, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.states import empty
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_count, format_duration
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.serving.pages.states import view
from iot_pipeline.serving.pages.states.temperature_colours import STOPS_F, colour_of, gradient, text_on

LIVE_SECONDS = 1.0
PUBLISHED_SECONDS = 10.0
WINDOW = 3
MINUTE = 60
_CHOICES = {"window": "3 seconds", "minute": "minute"}
_COLUMNS = (
    Column("State", classes="states-code"),
    Column("Name", classes="plant-optional"),
    Column("Mean °F", "num", "mean temperature of the window, the warmest state first"),
    Column("Mean °C", "num"),
    Column("Messages", "num", "temperatures of the window from that state"),
)


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/states")
    def states() -> None:
        with shell.frame(context, title="US states", active="states"):
            sheet("plants")
            page = _Page(context)
            page.look()
            every(LIVE_SECONDS, page.look, at_once=False)
            every(PUBLISHED_SECONDS, page.look_at_published)


class _Page:
    """The elements of the page for one viewer."""

    def __init__(self, context: shell.PageContext) -> None:
        self._context, self._choice = context, "window"
        self._published: view.StatesView | None = None
        with box("row spread"):
            with box("row"):
                Segments(_CHOICES, self._choice, self._choose, label="Window")
                text("from", "muted")
                self._begin = Clock(None, "time", none=NO_VALUE)
                text("to", "muted")
                self._end = Clock(None, "time", none=NO_VALUE)
                self._source = text("", "pill")
            self._age = text("", "muted num")
        self._nothing = box("hidden")
        with self._nothing:
            empty(
                "No temperature of a state in the last minutes.",
                "The windows fill by themselves as soon as a sensor speaks.",
            )
        self._all = box("stack")
        with self._all:
            with box("columns"):
                with box("card span-7"):
                    text("Map of means in °F", "card-title", tag="h2")
                    self._tiles = _Tiles()
                    _scale()
                    self._elsewhere = text("", "muted card-sub hidden", tag="p")
                with box("card span-5 states-table"):
                    text("Mean temperature by state", "card-title", tag="h2")
                    self._table = LiveTable(_COLUMNS, label="Mean temperature by state, the warmest first")
            with box("columns"):
                with box("card span-3"):
                    text("Messages", "card-title", tag="h2")
                    self._messages = text("", "us-big num")
                    self._messages_hint = text("", "muted card-sub", tag="p")
                with box("card span-6"):
                    text("Sensors by state", "card-title", tag="h2")
                    self._counts = _Counts()
                with box("card span-3"):
                    text("Sensors in total", "card-title", tag="h2")
                    self._sensors = text("", "us-big num")
                    self._sensors_hint = text("", "muted card-sub", tag="p")
            with box("origins"):
                links.dagster_asset("readings")
                links.dbt_model("state_minute")
                for report in ("states-temperature", "states-messages", "states-sensors", "states-total"):
                    links.report_link(report)
                links.report_link("states-windows")

    async def look_at_published(self) -> None:
        """The newest published minute, where minutes are shown."""
        if self._choice == "minute":
            self._published = await self._context.workers.run(view.published_minute, self._context.paths, utc_now())
            self.look()

    def look(self) -> None:
        """The newest window that is whole."""
        if self._choice == "minute":
            # Until a minute is published, the live layer's is shown.
            shown = self._published or view.live_view(self._context.live.state_windows(seconds=MINUTE))
        else:
            shown = view.live_view(self._context.live.state_windows(seconds=WINDOW))
        show_if(self._nothing, shown is None)
        show_if(self._all, shown is not None)
        self._begin.show(None if shown is None else shown.start)
        self._end.show(None if shown is None else shown.end)
        if shown is not None:
            self._show(shown)

    def _show(self, shown: view.StatesView) -> None:
        put(self._source, "published" if shown.published else "live")
        put_class(self._source, "pill-", "ok" if shown.published else "accent")
        age = max((utc_now() - shown.end).total_seconds(), 0.0)
        put(self._age, f"ended {format_duration(age)} ago")
        self._tiles.show(shown)
        show_if(self._elsewhere, bool(shown.elsewhere))
        put(self._elsewhere, f"Without a tile: {', '.join(shown.elsewhere)}")
        self._table.show([_row(one) for one in shown.states])
        put(self._messages, format_count(shown.messages))
        put(self._messages_hint, f"temperatures of {len(shown.states)} states in {shown.seconds} s")
        self._counts.show(shown.all_sensors)
        put(self._sensors, format_count(shown.sensors))
        put(self._sensors_hint, "that spoke in the minute" if shown.published else "known to the live layer")

    def _choose(self, choice: str) -> None:
        self._choice = choice
        self.look()
        background_tasks.create(self.look_at_published(), name="published minute of the states")


class _Tiles:
    """A tile for each state, coloured by its mean."""

    def __init__(self) -> None:
        self._tiles: dict[str, tuple[Tag, Tag, str]] = {}
        with box("us-tiles", role="list", aria_label="Mean temperature of each state in °F"):
            for state, (column, row) in view.TILES.items():
                tile = box("us-tile", role="listitem").style(f"grid-column: {column + 1}; grid-row: {row + 1}")
                with tile:
                    text(state, "us-code", aria_hidden="true")
                    number = text("", "us-number num", aria_hidden="true")
                self._tiles[state] = (tile, number, "")

    def show(self, shown: view.StatesView) -> None:
        """The means of a window; paler, and from a window before, where a state is silent in it."""
        current = {one.state: one for one in shown.states}
        for state, (tile, number, _) in self._tiles.items():
            figures = current.get(state) or shown.earlier.get(state)
            older = state not in current and figures is not None
            put(number, NO_VALUE if figures is None or figures.fahrenheit is None else f"{figures.fahrenheit:.0f}")
            told = _told(state, figures, older=older)
            put(tile, aria_label=told, title=told)
            self._paint(state, None if figures is None else figures.fahrenheit)
            tile.classes(add="us-older") if older else tile.classes(remove="us-older")

    def _paint(self, state: str, fahrenheit: float | None) -> None:
        tile, number, painted = self._tiles[state]
        style = ""
        if fahrenheit is not None:
            colour = colour_of(fahrenheit)
            style = f"background: {colour}; color: {text_on(colour)}"
        if style != painted:
            tile.style(style or "background: ; color: ", remove=painted)
            self._tiles[state] = (tile, number, style)


class _Counts:
    """Sensors of each state, states in order; names come and go in their places."""

    def __init__(self) -> None:
        self._shown: list[tuple[Tag, Tag, Tag]] = []
        self._place = box("us-counts", tag="dl")

    def show(self, sensors: Mapping[str, int]) -> None:
        with self._place:
            while len(self._shown) < len(sensors):
                with box("us-count") as whole:
                    self._shown.append((whole, text("", tag="dt"), text("", "num", tag="dd")))
        rows: Sequence[tuple[str, int]] = list(sensors.items())
        for index, (whole, state, count) in enumerate(self._shown):
            show_if(whole, index < len(rows))
            if index < len(rows):
                put(state, rows[index][0], title=view.NAMES.get(rows[index][0]))
                put(count, format_count(rows[index][1]))


def _row(one: view.StateFigures) -> list[Cell]:
    return [
        Cell(one.state),
        Cell(one.name if one.name != one.state else "", classes="muted"),
        Cell(_degrees(one.fahrenheit)),
        Cell(_degrees(one.celsius)),
        Cell(format_count(one.messages)),
    ]


def _degrees(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def _told(state: str, figures: view.StateFigures | None, *, older: bool) -> str:
    name = view.NAMES[state]
    if figures is None or figures.fahrenheit is None:
        return f"{name}: no temperature in the last minutes"
    told = f"{name}: {_degrees(figures.fahrenheit)} °F ({_degrees(figures.celsius)} °C)"
    return f"{told}, from a window before this one" if older else f"{told}, messages: {figures.messages}"


def _scale() -> None:
    with box("us-scale", role="img", aria_label="Colours of temperatures, from 10 °F in blue to 90 °F in red"):
        box("us-scale-colour").style(f"background: {gradient()}")
        for unit, of in (("°F", float), ("°C", view.celsius)):
            with box("us-scale-row num"):
                for stop in STOPS_F:
                    text(_whole(of(stop)))
                text(unit, "us-scale-unit")
    text("dashed: silent in this window; newest mean before it", "muted card-sub", tag="p")


def _whole(value: float) -> str:
    return f"{value:.0f}".replace("-", "\N{MINUS SIGN}")
