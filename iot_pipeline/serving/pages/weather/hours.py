"""The card of the last hours: a chart of the temperature of each station, with its flags."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from nicegui import background_tasks

from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.live.model import LatestReading, LiveFlag
from iot_pipeline.serving import history
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.charts import Band, Chart, Line, Mark, series_chart, series_spec
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.weather import view

HOUR = timedelta(hours=1)
# The live layer keeps the minutes of an hour and the hours of a day; between them minutes are read from files.
_SPANS = {"1": "1 h", "6": "6 h", "24": "24 h"}
_BY_MINUTE = (1, 6)
_MOST_MARKS = 200
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
