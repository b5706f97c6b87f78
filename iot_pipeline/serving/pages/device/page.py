"""One device at `/device?id=`: what it says now, its history, its flags, and the message behind any reading.

Computed in `device/facts.py` and `device/figures.py`; the readings behind a point are `device/readings.py`. Without an
id it is a list of devices to choose from.
"""

from datetime import datetime

import polars as pl
from nicegui import ui

from iot_pipeline.clock import utc_now
from iot_pipeline.serving import history
from iot_pipeline.serving.anomalies import SeenFlag
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.device import finding
from iot_pipeline.serving.pages.device.facts import Facts, Series, bounded, facts_of, series_of
from iot_pipeline.serving.pages.device.figures import SPANS, Figures, Span, earlier_points, past_figures, recent_figures
from iot_pipeline.serving.pages.device.readings import ReadingsBehind
from iot_pipeline.serving.pages.device.tiles import Tile, flag_row
from iot_pipeline.serving.pages.inbox import view as inbox_view
from iot_pipeline.serving.pages.overview.view import fleet_title
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.browser import replace_address
from iot_pipeline.serving.pages.parts.charts import Band, Line, Mark, series_chart, series_spec
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.markup import anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import every, words_of
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count, format_value

NOW_SECONDS = 2.0


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/device")
    async def device() -> None:
        asked = ui.context.client.request.query_params
        fleet = asked.get("fleet", "")
        name = bounded(asked.get("id", ""))
        if not name:
            finding.finder(context, fleet)
            return
        latest = context.live.latest(name)
        known: dict[str, object] | None = None
        published, not_yet = pl.DataFrame(schema=history.HISTORY_SCHEMA), ""
        try:
            known = await context.workers.run(history.known_device, context.paths, name)
        except NotPublished as error:
            not_yet = str(error)
        if not latest and known is None:
            finding.unknown(context, name, not_yet)
            return
        if not latest:
            published = await _published_series(context, name)
        page = _Device(context, name, series_of(latest, published), facts_of(known, latest))
        page.choose_first(asked.get("metric", ""), asked.get("unit", ""), asked.get("range", ""))
        with shell.frame(context, title=name, active="", crumbs=finding.crumbs(page.facts.fleet)):
            page.build()


async def _published_series(context: shell.PageContext, name: str) -> pl.DataFrame:
    """What a device said that nobody heard lately: the series of its last year."""
    now = utc_now()
    try:
        return await context.workers.run(
            history.device_history, context.paths, name, "day", now - SPANS["1y"].length, now
        )
    except NotPublished:
        return pl.DataFrame(schema=history.HISTORY_SCHEMA)


class _Device:
    """One viewer's page of one device."""

    def __init__(self, context: shell.PageContext, name: str, series: list[Series], facts: Facts) -> None:
        self._context, self._name, self._series, self.facts = context, name, series, facts
        self._span = SPANS["live"]
        self._chosen: Series | None = series[0] if series else None
        self._tiles: dict[Series, Tile] = {}
        self._earlier: dict[Series, list[tuple[datetime, float]]] = {}

    def choose_first(self, metric: str, unit: str, span: str) -> None:
        """What the address asks for, where there is such a thing."""
        self._span = SPANS.get(span, self._span)
        named = [one for one in self._series if one.metric == metric]
        exact = [one for one in named if (one.unit or "") == unit]
        numbers = {
            Series(one.metric, one.unit) for one in self._context.live.latest(self._name) if one.value is not None
        }
        usual = [one for one in self._series if one in numbers] or self._series
        self._chosen = next(iter(exact or named or usual), None)

    def build(self) -> None:
        """Everything below the title."""
        self._about()
        self._tiles_box = box("tiles", role="group", aria_label="Metrics of the device")
        self._draw_tiles()
        if self._chosen is None:
            states.empty("This device has said nothing that can be drawn.")
            return
        with box("card", tag="section", aria_label="History"):
            with box("card-head"):
                self._heading = text("", "card-title", tag="h2")
                Segments(
                    {key: span.label for key, span in SPANS.items()},
                    self._span.key,
                    self._choose_span,
                    label="Range",
                )
            self._chart = series_chart(label="", unit="", lines=[], height=300, on_pick=self._pick)
            self._note = box("muted hidden", role="status")
            self._summary = box("row spread card-sub")
        with box("columns"):
            with box("span-7 card", tag="section", aria_label="Flags"):
                self._flags_title = text("Flags", "card-title", tag="h2")
                self._flags = box("alarms")
            with box("span-5 card", tag="section", aria_label="Readings and their messages"):
                self._behind = ReadingsBehind(self._context, self._name)
        self._timer = every(self._span.seconds, self._refresh)
        every(NOW_SECONDS, self._draw_tiles, at_once=False)

    def _about(self) -> None:
        facts = self.facts
        with box("row about"):
            if facts.fleet:
                text(fleet_title(facts.fleet), "pill pill-accent")
            if facts.customer:
                with box("muted", tag="span"):
                    text("customer ")
                    anchor(facts.customer, links.page_url("/customer", id=facts.customer), "link")
            if facts.first_seen is not None:
                with box("muted", tag="span"):
                    text("first heard ")
                    instant(facts.first_seen, "full")
        if facts.attributes:
            with box("attributes", tag="dl"):
                for name, value in facts.attributes:
                    with box("attribute"):
                        text(name, tag="dt")
                        text(value, tag="dd")

    # ---- what it says now

    def _draw_tiles(self) -> None:
        latest = {Series(one.metric, one.unit): one for one in self._context.live.latest(self._name)}
        for series in series_of(latest.values()):
            if series not in self._series:
                self._series.append(series)
        with self._tiles_box:
            for series in self._series:
                if series not in self._tiles:
                    self._tiles[series] = Tile(series, self._choose)
                self._tiles[series].show(latest.get(series), chosen=series == self._chosen)

    def _choose(self, series: Series) -> None:
        self._chosen = series
        for one, tile in self._tiles.items():
            tile.press(on=one == series)
        self._changed()

    def _choose_span(self, key: str) -> None:
        self._span = SPANS[key]
        self._timer.interval = self._span.seconds
        self._changed()

    def _changed(self) -> None:
        assert self._chosen is not None  # noqa: S101 -- there is something to choose from
        chosen = self._chosen
        replace_address("/device", id=self._name, metric=chosen.metric, unit=chosen.unit, range=self._span.key)
        ui.timer(0, self._refresh_or_tell, once=True)

    # ---- its history

    async def _refresh_or_tell(self) -> None:
        try:
            await self._refresh()
        except Exception as error:  # noqa: BLE001 -- said where the chart would be
            self._tell(words_of(error))

    async def _refresh(self) -> None:
        series, span, now = self._chosen, self._span, utc_now()
        assert series is not None  # noqa: S101 -- only called where there is one
        live = self._context.live
        if span.period == "reading":
            if series not in self._earlier:
                self._earlier[series] = await self._context.workers.run(
                    earlier_points, self._context.paths, self._name, series, now - span.length, now
                )
            figures = recent_figures(live, self._name, series, span, now, earlier=self._earlier[series])
        else:
            figures = await self._context.workers.run(
                past_figures, self._context.paths, live, self._name, series, span=span, now=now
            )
        if (series, span) == (self._chosen, self._span):
            self._draw(series, span, figures)

    def _draw(self, series: Series, span: Span, figures: Figures) -> None:
        name = series.metric if span.period == "reading" else f"mean by {span.period}"
        lines = [Line(name=name, points=figures.points, colour="--c1")]
        if figures.spread:
            lines.append(
                Line(name="smallest", points=[(ts, low) for ts, low, _ in figures.spread], dashed=True, colour="--c6")
            )
            lines.append(
                Line(name="largest", points=[(ts, high) for ts, _, high in figures.spread], dashed=True, colour="--c6")
            )
        known = any(low is not None for _, low, _ in figures.expected)
        spec = series_spec(
            unit=series.unit,
            lines=lines,
            band=Band(figures.expected, name="usual before") if known else None,
            marks=[
                Mark(ts=one.flag.event_ts, value=one.flag.value, reason=one.flag.reason, severity=one.severity.value)
                for one in figures.marks
            ],
            since=figures.since,
            until=figures.until,
        )
        unit = f" in {series.unit}" if series.unit else ""
        self._chart.show(spec, label=f"{series.metric} of {self._name}{unit}, last {span.label}")
        if self._heading.text != series.metric:
            self._heading.text = series.metric
        nothing = not any(value is not None for _, value in figures.points)
        self._tell(figures.note or ("No number was heard of this metric in this range." if nothing else ""))
        self._draw_summary(span, figures, series)
        self._draw_flags(figures.marks)

    def _tell(self, message: str) -> None:
        self._note.text = message
        self._note.classes(add="" if message else "hidden", remove="hidden" if message else "")

    def _draw_summary(self, span: Span, figures: Figures, series: Series) -> None:
        values = [value for _, value in figures.points if value is not None]
        lows = [low for _, low, _ in figures.spread if low is not None] or values
        highs = [high for _, _, high in figures.spread if high is not None] or values
        self._summary.clear()
        with self._summary:
            with box("row"):
                if values:
                    text(f"{format_count(len(values))} {'readings' if span.period == 'reading' else span.period + 's'}")
                    text(f"smallest {format_value(min(lows), series.unit)}", "num")
                    text(f"largest {format_value(max(highs), series.unit)}", "num")
            with box("origins"):
                if span.asset is None:
                    text("from the live layer")
                    links.dagster_asset("readings")
                else:
                    links.dagster_asset(span.asset)
                    links.dbt_model(span.asset)

    def _draw_flags(self, marks: list[SeenFlag]) -> None:
        entries = inbox_view.entries_of(marks, {})
        title = f"Flags in this range: {format_count(len(marks))}" if marks else "Flags in this range"
        if self._flags_title.text != title or not marks:
            self._flags_title.text = title
            self._flags.clear()
            with self._flags:
                if not entries:
                    text("None.", "muted", tag="p")
                for entry in entries[:30]:
                    flag_row(entry, self._pick)
                with box("origins"):
                    links.dagster_asset("anomaly_flags")

    async def _pick(self, at: datetime) -> None:
        assert self._chosen is not None  # noqa: S101 -- only called where there is one
        await self._behind.look(self._chosen, at, self._span)
