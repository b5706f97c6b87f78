"""The page of the weather stations: a map, the stations now, their last hours, anomalies, maxima by day and month.

What it shows is computed in `weather/view.py` and `weather/map.py`; its lower cards are `hours.py`,
`anomalies.py` and `maxima.py`.
"""

from collections.abc import Sequence
from datetime import timedelta

from nicegui import ui

from iot_pipeline.clock import utc_now
from iot_pipeline.live.model import LatestReading, Window
from iot_pipeline.serving import history
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import put, put_class, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_count, format_duration
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.serving.pages.weather import view
from iot_pipeline.serving.pages.weather.anomalies import AnomaliesCard
from iot_pipeline.serving.pages.weather.hours import HoursCard
from iot_pipeline.serving.pages.weather.map import HEIGHT, WIDTH, frame_of, places
from iot_pipeline.serving.pages.weather.maxima import MaximaCard
from iot_pipeline.serving.pages.weather.svg import background

LIVE_SECONDS = 1.0
CHART_SECONDS = 5.0
PUBLISHED_SECONDS = 30.0
MOST_STATIONS = 100
_COLUMNS = (
    Column("Station", "link"),
    Column("Now", "num"),
    Column("Age", "num", "since its newest temperature"),
    Column("Max 24 h", "num", "highest temperature of the last 24 hours, whole hours"),
    Column("Count 24 h", "num", "temperatures of the last 24 hours, whole hours"),
    Column("Flags", "num", "readings that any detector flagged in the last 30 minutes"),
)


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/weather")
    def weather() -> None:
        with shell.frame(context, title="Weather", active="weather"):
            sheet("plants")
            page = _Page(context)
            page.look()
            page.look_at_hours()
            every(LIVE_SECONDS, page.look, at_once=False)
            every(CHART_SECONDS, page.look_at_hours, at_once=False)
            every(PUBLISHED_SECONDS, page.look_at_published)


class _Page:
    """The elements of the page for one viewer."""

    def __init__(self, context: shell.PageContext) -> None:
        self._context = context
        self._published: list[view.Site] = []
        self._empty = box("hidden")
        with self._empty:
            states.empty(
                "No weather station has said anything yet.",
                "Stations appear by themselves, a second or two after their first message.",
            )
        self._all = box("stack")
        with self._all:
            with box("columns"):
                with box("card span-7"):
                    with box("card-head"):
                        text("Stations", "card-title", tag="h2")
                        text("grey: cities of the time zones · orange: flagged in the last 30 minutes", "card-sub")
                    self._map = _Map()
                with box("card span-5"):
                    text("Temperatures", "card-title", tag="h2")
                    self._table = LiveTable(_COLUMNS, label="Stations with temperature, maximum and count")
                    with box("origins"):
                        links.dagster_asset("readings")
                        links.dbt_model("device_hour")
                        links.report_link("weather-maximum", "maximum of 30 days")
                        links.report_link("weather-count", "count of 30 days")
            self._hours = HoursCard(context)
            self._anomalies = AnomaliesCard()
            self._maxima = MaximaCard(context)

    async def look_at_published(self) -> None:
        """Where the stations stand, and what is published of them."""
        try:
            devices = await self._context.workers.run(
                history.devices_page, self._context.paths, fleet=view.FLEET, limit=MOST_STATIONS
            )
        except history.NotPublished:
            self._published = []
        else:
            self._published = view.sites(devices, places())
        self.look()
        await self._hours.read(self._sites())
        self.look_at_hours()
        await self._maxima.read(self._sites())

    def look(self) -> None:
        """The stations now."""
        now = utc_now()
        live = self._context.live
        readings, sites = self._readings(), self._sites()
        flags = live.flags(since=view.first_minute(now), limit=5_000)
        stations = [view.station(site, readings, self._hours_of(site, readings), flags, now) for site in sites]
        show_if(self._empty, not stations)
        show_if(self._all, bool(stations))
        self._map.show(stations)
        self._table.show([_row(station) for station in stations])
        self._anomalies.show(sites, flags, now)

    def look_at_hours(self) -> None:
        """The charts."""
        self._hours.show(self._sites())

    def _sites(self) -> list[view.Site]:
        known = {site.device_id for site in self._published}
        heard = self._context.live.devices(fleet=view.FLEET, prefix=None, limit=MOST_STATIONS, after=None)
        return [*self._published, *view.unpublished_sites(name for name in heard if name not in known)]

    def _readings(self) -> list[LatestReading]:
        return self._context.live.latest_of_fleet(view.FLEET, limit=4 * MOST_STATIONS)

    def _hours_of(self, site: view.Site, readings: Sequence[LatestReading]) -> list[Window]:
        newest = view.temperature_of(site.device_id, readings)
        if newest is None:
            return []
        since = utc_now() - view.DAY_SPAN + timedelta(hours=1)
        return self._context.live.hours(site.device_id, newest.metric, newest.unit, since=since)


def _row(station: view.Station) -> list[Cell]:
    site = station.site
    return [
        Cell(site.name, links.device_url(site.device_id), title=f"{site.position} · {site.device_id}"),
        Cell(view.temperature_text(station.value, station.unit), classes="muted" if station.is_stale else ""),
        Cell(
            NO_VALUE
            if station.age is None
            else f"{format_duration(station.age)}{' · stale' if station.is_stale else ''}",
            classes="wx-flagged" if station.is_stale else "",
        ),
        Cell(view.temperature_text(station.maximum, station.unit)),
        Cell(format_count(station.count)),
        Cell(format_count(station.flags), classes="wx-flagged" if station.flags else ""),
    ]


class _Map:
    """The map; drawn anew only when stations come, go or move."""

    def __init__(self) -> None:
        self._place = box("wx-map")
        self._drawn: list[tuple[str, float | None, float | None]] = []
        self._tags: dict[str, tuple[Tag, Tag]] = {}
        self._without = text("", "muted hidden", tag="p")

    def show(self, stations: Sequence[view.Station]) -> None:
        """These stations with their newest temperatures."""
        wanted = [(one.site.name, one.site.latitude, one.site.longitude) for one in stations]
        if wanted != self._drawn:
            self._drawn = wanted
            self._draw([one.site for one in stations])
        for station in stations:
            found = self._tags.get(station.site.device_id)
            if found is not None:
                self._show_one(found, station)
        without = [one.site.name for one in stations if one.site.latitude is None]
        show_if(self._without, bool(without))
        put(self._without, f"Not on the map, because they do not tell where they are: {', '.join(without)}")

    def _draw(self, sites: Sequence[view.Site]) -> None:
        frame = frame_of(
            [
                (site.latitude, site.longitude)
                for site in sites
                if site.latitude is not None and site.longitude is not None
            ]
        )
        self._place.clear()
        self._tags = {}
        with self._place:
            ui.html(background(frame, places()), sanitize=False)
            for site in sites:
                if site.latitude is None or site.longitude is None:
                    continue
                at = frame.xy(site.latitude, site.longitude)
                if at is not None:
                    self._tags[site.device_id] = self._station(site, at[0] / WIDTH, at[1] / HEIGHT)

    def _station(self, site: view.Site, x: float, y: float) -> tuple[Tag, Tag]:
        side = "wx-station wx-left" if x > 0.7 else "wx-station"
        place = Tag("a", "", side, href=links.device_url(site.device_id))
        place.style(f"left: {100 * x:.2f}%; top: {100 * y:.2f}%")
        with place:
            box("wx-dot", aria_hidden="true")
            with box("wx-tag", tag="span"):
                text(site.name, "wx-name")
                value = text("", "wx-value num")
        return place, value

    def _show_one(self, found: tuple[Tag, Tag], station: view.Station) -> None:
        place, value = found
        shown = view.temperature_text(station.value, station.unit)
        put(value, f"{shown} · stale" if station.is_stale and station.value is not None else shown)
        put_class(place, "is-", "stale" if station.is_stale else "flagged" if station.flags else "fine")
        told = ", stale" if station.is_stale else f", {station.flags} flagged readings in 30 minutes"
        put(
            place,
            aria_label=f"{station.site.name}: {shown}{told}",
            title=f"{station.site.name}, {station.site.position}",
        )
