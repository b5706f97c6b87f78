"""The card of the last half hour: how often each detector flagged each station, minute by minute."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from nicegui import ui

from iot_pipeline.live.model import LiveFlag
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.inplace import put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.wording import format_count
from iot_pipeline.serving.pages.weather import view


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
