"""The lower cards of the weather page: last hours, anomalies of the last half hour, maxima by day and month."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from html import escape

import polars as pl
from nicegui import background_tasks, ui

from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.live.model import LatestReading, LiveFlag
from iot_pipeline.serving import history
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.charts import Band, Chart, Line, Mark, series_chart, series_spec
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.numbers import format_count
from iot_pipeline.serving.pages.parts.refresh import words_of
from iot_pipeline.serving.pages.weather import view
from iot_pipeline.serving.reports.run import run_report

HOUR = timedelta(hours=1)
# The live layer keeps the minutes of an hour and the hours of a day; between them minutes are read from files.
_SPANS = {"1": "1 h", "6": "6 h", "24": "24 h"}
_BY_MINUTE = (1, 6)
_MOST_MARKS = 200
_MOST_ROWS = 62
_CHART_HEIGHT = 220


class HoursCard:
    """A chart for each station: by minute for one and six hours, by hour for a day."""

    def __init__(self, context: shell.PageContext) -> None:
        self._context, self._hours = context, 6
        self._charts: dict[str, Chart] = {}
        self._named: list[tuple[str, str]] = []
        self._published: dict[str, list[view.Moment]] = {}
        self._sites: list[view.Site] = []
        with box("card"):
            with box("card-head"):
                text("Last hours", "card-title", tag="h2")
                Segments(_SPANS, str(self._hours), self._choose, label="How far back")
            self._place = box("columns")
            with box("origins"):
                links.dbt_model("device_minute")
                links.dbt_model("device_hour")
                text("means of minutes (24 h: of hours), with their smallest and largest temperature as a band")

    async def read(self, sites: Sequence[view.Site]) -> None:
        """Read the published minutes of the last hours, where they are shown. Raises Problem."""
        self._sites = list(sites)
        for site in sites:
            newest = self._newest(site)
            if newest is None or self._hours != max(_BY_MINUTE):
                continue
            now = utc_now()
            try:
                rows = await self._context.workers.run(
                    history.device_history,
                    self._context.paths,
                    site.device_id,
                    "minute",
                    now - self._hours * HOUR,
                    now,
                    metric=newest.metric,
                    unit=newest.unit,
                )
            except history.NotPublished:
                continue
            self._published[site.device_id] = view.moments_of_history(rows)

    def show(self, sites: Sequence[view.Site]) -> None:
        """Draw the charts as they are now."""
        self._sites = list(sites)
        named = [(site.device_id, site.name) for site in sites]
        if named != self._named:
            self._named = named
            self._place.clear()
            with self._place:
                self._charts = {site.device_id: self._chart(site) for site in sites}
        now = utc_now()
        flags = view.recent_flags(
            self._context.live.flags(since=now - HOUR, limit=5_000), now - HOUR + view.ANOMALY_SPAN
        )
        for site in sites:
            newest = self._newest(site)
            if newest is not None:
                self._charts[site.device_id].show(
                    self._spec(site, newest, [flag for flag in flags if flag.device_id == site.device_id], now)
                )

    def _chart(self, site: view.Site) -> Chart:
        with box("stack span-4"):
            with box("row spread"):
                Tag("a", site.name, "link", href=links.device_url(site.device_id), title=site.device_id)
                text(site.position, "muted num card-sub")
            label = f"Temperature of the station {site.name} in the last hours"
            return series_chart(label=label, unit=None, lines=(), height=_CHART_HEIGHT)

    def _spec(
        self, site: view.Site, newest: LatestReading, flags: Sequence[LiveFlag], now: datetime
    ) -> dict[str, object]:
        live, series = self._context.live, (site.device_id, newest.metric, newest.unit)
        if self._hours in _BY_MINUTE:
            step = MINUTE
            moments = view.moments_of_windows(live.minutes(*series, since=now - min(self._hours, 1) * HOUR))
            if self._hours > 1:
                moments = view.joined(self._published.get(site.device_id, []), moments)
        else:
            step = HOUR
            moments = view.moments_of_windows(live.hours(*series, since=now - self._hours * HOUR))
        since = now - self._hours * HOUR
        points = view.with_gaps([one for one in moments if one.start >= since - step], step)
        return series_spec(
            unit=newest.unit,
            lines=[
                Line(
                    name="mean",
                    points=[(one.start, one.mean) if isinstance(one, view.Moment) else (one, None) for one in points],
                )
            ],
            band=Band(
                [
                    (one.start, one.low, one.high) if isinstance(one, view.Moment) else (one, None, None)
                    for one in points
                ],
                "smallest to largest",
            ),
            marks=[
                Mark(ts=flag.event_ts, value=flag.value, reason=f"{flag.detector}: {flag.reason}")
                for flag in flags[:_MOST_MARKS]
            ],
            since=since,
            until=now,
        )

    def _newest(self, site: view.Site) -> LatestReading | None:
        return view.temperature_of(site.device_id, self._context.live.latest(site.device_id))

    def _choose(self, hours: str) -> None:
        self._hours = int(hours)
        self.show(self._sites)
        background_tasks.create(self._read_and_show(), name="weather hours")

    async def _read_and_show(self) -> None:
        await self.read(self._sites)
        self.show(self._sites)


class AnomaliesCard:
    """Flags of each station in the last half hour, minute by minute: K-means per minute, and what is better."""

    def __init__(self) -> None:
        self._named: list[tuple[str, tuple[str, ...]]] = []
        self._rows: dict[tuple[str, str], tuple[ui.html, Tag, Tag]] = {}
        with box("card"):
            with box("card-head"):
                text("Anomalies in the last 30 minutes", "card-title", tag="h2")
                self._total = text("", "pill", role="status")
            self._place = box("stack")
            text(
                "K-means per minute is what the older system looked with, each minute apart; it is kept as a baseline. "
                "The others compare a station with its own past.",
                "muted card-sub",
                tag="p",
            )
            with box("origins"):
                links.dagster_asset("anomaly_flags")
                links.report_link("anomalies")
                Tag("a", "all anomalies", "link", href="/anomalies")

    def show(self, sites: Sequence[view.Site], flags: Sequence[LiveFlag], now: datetime) -> None:
        """The half hour that ends now."""
        strips = {site.device_id: view.strips(site.device_id, flags, now) for site in sites}
        named = [
            (f"{site.device_id}\n{site.name}", tuple(strip.detector for strip in strips[site.device_id]))
            for site in sites
        ]
        if named != self._named:
            self._named = named
            self._draw(sites, strips)
        flagged = {flag.event_ts for flag in view.recent_flags(flags, now)}
        put(self._total, f"{format_count(len(flagged))} flagged readings" if flagged else "none")
        for site in sites:
            for strip in strips[site.device_id]:
                bars, total, reason = self._rows[site.device_id, strip.detector]
                content = strip_svg(strip)
                if bars.content != content:
                    bars.set_content(content)
                put(total, f"{format_count(strip.total)} flags" if strip.total != 1 else "1 flag")
                put(reason, "" if strip.newest is None else f"Newest: {strip.newest.reason}")
                show_if(reason, strip.newest is not None)

    def _draw(self, sites: Sequence[view.Site], strips: dict[str, list[view.Strip]]) -> None:
        self._place.clear()
        self._rows = {}
        with self._place:
            for site in sites:
                with box("wx-strips"):
                    Tag("a", site.name, "link", href=links.device_url(site.device_id), title=site.device_id)
                    for strip in strips[site.device_id]:
                        with box("wx-strip-row"):
                            named = "K-means per minute" if strip.is_baseline else strip.detector
                            text(named, "", title=strip.detector)
                            bars = ui.html("", sanitize=False).classes("wx-strip")
                            total = text("", "num wx-strip-total")
                            reason = text("", "wx-strip-reason hidden")
                        self._rows[site.device_id, strip.detector] = (bars, total, reason)


class MaximaCard:
    """Maximum temperature by day and by month, with an explicit word when there is none."""

    _COLUMNS = (
        Column("Date (UTC)"),
        Column("Station", "link"),
        Column("Maximum", "num"),
        Column("Count", "num", "temperatures of that time"),
    )

    def __init__(self, context: shell.PageContext) -> None:
        self._context, self._period = context, "day"
        self._sites: list[view.Site] = []
        with box("card"):
            with box("card-head"):
                text("Maximum temperature", "card-title", tag="h2")
                Segments({"day": "by day", "month": "by month"}, self._period, self._choose, label="Period")
            self._table = LiveTable(self._COLUMNS, label="Maximum temperature by day or month")
            self._nothing = box("hidden")
            with self._nothing:
                states.empty(
                    "No data found.", "Days and months are published once an hour, complete after midnight UTC."
                )
            self._trouble = text("", "refresh-problem hidden", role="status")
            with box("row spread"):
                with box("origins"):
                    links.report_link("weather-by-day")
                    self._models = {period: links.dbt_model(f"device_{period}") for period in ("day", "month")}
                self._csv = Tag("a", "CSV", "link", download="")

    async def read(self, sites: Sequence[view.Site]) -> None:
        """Read the report of the chosen period."""
        self._sites, period = list(sites), self._period
        try:
            report = await self._context.workers.run(
                run_report, self._context.paths, "weather-by-day", {"period": period}
            )
        except (IotError, Problem) as error:
            self._tell(f"{words_of(error)}. Asked again by itself.")
            return
        self._tell("")
        if period == self._period:
            self._show(report)

    def _show(self, report: pl.DataFrame) -> None:
        names = {site.device_id: site.name for site in self._sites}
        rows = view.maxima(report, names)[:_MOST_ROWS]
        self._table.show([self._cells(row, names) for row in rows])
        show_if(self._nothing, not rows)
        for period, model in self._models.items():
            show_if(model, period == self._period)
        put(self._csv, href=links.page_url("/api/v1/reports/weather-by-day", period=self._period, format="csv"))

    def _cells(self, row: Mapping[str, object], names: Mapping[str, str]) -> list[Cell]:
        device_id, day, value, count = str(row["deviceid"]), row["date"], row["max_temperature"], row["count"]
        form = "%d %b %Y" if self._period == "day" else "%B %Y"
        return [
            Cell(day.strftime(form) if isinstance(day, date) else ""),
            Cell(names.get(device_id, device_id), links.device_url(device_id), title=device_id),
            Cell(view.temperature_text(value if isinstance(value, float) else None, str(row["unit"] or ""))),
            Cell(format_count(count) if isinstance(count, int) else ""),
        ]

    def _choose(self, period: str) -> None:
        self._period = period
        background_tasks.create(self.read(self._sites), name="weather maxima")

    def _tell(self, trouble: str) -> None:
        put(self._trouble, trouble)
        show_if(self._trouble, bool(trouble))


def strip_svg(strip: view.Strip) -> str:
    """A bar a minute, the present one at the right. Only counts and the name of a detector of ours are in it."""
    last = len(strip.counts) - 1
    bars = "".join(
        f'<rect class="{_strip_class(count)}" x="{index * 10}" y="0" width="8" height="20" rx="1.5">'
        f"<title>{_ago(last - index)}: {count} flagged</title></rect>"
        for index, count in enumerate(strip.counts)
    )
    label = escape(f"{strip.detector}: {strip.total} flags in the last {len(strip.counts)} minutes")
    return (
        f'<svg viewBox="0 0 {len(strip.counts) * 10} 20" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{bars}</svg>'
    )


def _strip_class(count: int) -> str:
    return "wx-strip-none" if count == 0 else "wx-strip-some" if count < 3 else "wx-strip-many"


def _ago(minutes: int) -> str:
    return "this minute" if minutes == 0 else f"{minutes} min ago"
