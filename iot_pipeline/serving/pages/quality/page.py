"""Data quality at `/quality`: can these figures be trusted, and what has to be done. Computed in `serving/quality.py`.

From the question to its cause: how fresh each stage is, what became of every message (`account.py`), which devices
lack readings (`devices.py`), and what could not be read with the command that reads it again (`quarantine.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from nicegui import ui

from iot_pipeline.clock import DAY, utc_now
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving import quality
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.overview import view as overview_view
from iot_pipeline.serving.pages.overview.stages import draw_stages
from iot_pipeline.serving.pages.overview.view import fleet_title
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.browser import replace_address
from iot_pipeline.serving.pages.parts.controls import choice
from iot_pipeline.serving.pages.parts.markup import anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count
from iot_pipeline.serving.pages.quality.account import Balance
from iot_pipeline.serving.pages.quality.devices import draw_devices, draw_fleets
from iot_pipeline.serving.pages.quality.quarantine import draw_quarantine
from iot_pipeline.serving.pages.sheets import sheet

REFRESH_SECONDS = 15.0
SPAN, SPAN_WORDS = timedelta(hours=3), "last 3 hours"
QUARANTINE_SPAN, QUARANTINE_WORDS = DAY, "last 24 hours"
_ALL = ""
NO_DAYS = (
    "The present day is built so far within the hour, yesterday shortly after 00:20 UTC. To build it now, materialise "
    "`device_slo` in Dagster."
)


@dataclass(frozen=True, slots=True)
class _Now:
    """What changes by the minute, read in one go."""

    pipeline: overview_view.Pipeline
    account: quality.Account
    reasons: list[quality.Reason]
    samples: list[quality.Sample]
    failed: list[quality.FailedBuild]


def _read_now(paths: DataPaths, reason: str | None) -> _Now:
    now = utc_now()
    return _Now(
        overview_view.pipeline(paths, now),
        quality.account(paths, now, SPAN),
        quality.reasons(paths, now, QUARANTINE_SPAN),
        quality.samples(paths, now, QUARANTINE_SPAN, reason=reason),
        quality.failed_builds(paths, now),
    )


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/quality")
    async def page(day: str = "", fleet: str = "", reason: str = "") -> None:
        sheet("quality")
        with shell.frame(context, title="Data quality", active="quality"):
            await _Quality(context, day=day, fleet=fleet or None, reason=reason or None).build()


class _Quality:
    """One viewer's page."""

    def __init__(self, context: shell.PageContext, *, day: str, fleet: str | None, reason: str | None) -> None:
        self._context = context
        self._asked, self._fleet, self._reason = day, fleet, reason
        self._day: date | None = None
        self._days: list[date] = []
        self._shown: dict[str, object] = {}

    async def build(self) -> None:
        """Everything once; then what is new every fifteen seconds."""
        with box("columns"):
            with box("span-5 card", tag="section", aria_label="Stages"):
                with box("card-head"):
                    text("How fresh each stage is", "card-title", tag="h2")
                    anchor(
                        "Checks in Dagster ↗", links.dagster_url("readings"), "link", target="_blank", rel="noopener"
                    )
                self._stages = box("stages", tag="ol")
                self._failed = box("stack")
            with box("span-7 card", tag="section", aria_label="Messages"):
                with box("card-head"):
                    text("What became of every message", "card-title", tag="h2")
                    text(SPAN_WORDS, "muted")
                self._balance = Balance()
                with box("origins"):
                    links.dagster_asset("readings")
                    links.dagster_asset("quarantine")
        with box("card", tag="section", aria_label="Devices"):
            with box("card-head"):
                text("Devices: what was expected and what came", "card-title", tag="h2")
                self._choices = box("filters quality-filters")
            self._service = box("stack")
            with box("origins"):
                links.dagster_asset("device_slo")
                links.dbt_model("device_slo")
                links.dbt_model("int_series_day")
        with box("card", tag="section", aria_label="Quarantine"):
            with box("card-head"):
                text("What could not be read", "card-title", tag="h2")
                text(QUARANTINE_WORDS, "muted")
            self._quarantine = box("stack")
            with box("origins"):
                links.dagster_asset("quarantine")
        self._soon = box()
        await self._refresh()
        every(REFRESH_SECONDS, self._refresh, at_once=False)

    async def _refresh(self) -> None:
        run, paths = self._context.workers.run, self._context.paths
        now = await run(_read_now, paths, self._reason)
        if self._changed("stages", now.pipeline.stages):
            draw_stages(self._stages, now.pipeline.stages, after=" behind")
        if self._changed("failed", now.failed):
            self._draw_failed(now.failed)
        if self._changed("account", now.account.rows.rows()):
            self._balance.show(now.account)
        if self._changed("quarantine", (self._reason, now.reasons, now.samples)):
            self._quarantine.clear()
            with self._quarantine:
                draw_quarantine(now.reasons, now.samples, chosen=self._reason, choose=self._choose_reason)
        await self._refresh_days()

    async def _refresh_days(self) -> None:
        run, paths = self._context.workers.run, self._context.paths
        days = await run(quality.slo_days, paths)
        if days != self._days:
            self._days = days
            chosen = next((day for day in days if day.isoformat() == self._asked), None)
            self._day = chosen or (self._day if self._day in days else next(iter(days), None))
        try:
            fleets = [] if self._day is None else await run(quality.fleets_of, paths, self._day)
            worst = None if self._day is None else await run(quality.worst_devices, paths, self._day, fleet=self._fleet)
        except NotPublished as error:
            if self._changed("service", str(error)):
                self._service.clear()
                with self._service:
                    states.problem(str(error), "This page looks again by itself.")
            return
        if self._changed("choices", (self._days, [one.fleet for one in fleets])):
            self._draw_choices(fleets)
        if self._changed("service", (self._day, self._fleet, fleets, None if worst is None else worst.rows())):
            self._service.clear()
            with self._service:
                if worst is None:
                    states.empty("No day was built yet.", NO_DAYS)
                else:
                    draw_fleets(fleets)
                    draw_devices(
                        worst.to_dicts(), sum(one.devices for one in fleets if self._fleet in (None, one.fleet))
                    )

    def _changed(self, part: str, value: object) -> bool:
        if part in self._shown and self._shown[part] == value:
            return False
        self._shown[part] = value
        return True

    def _draw_choices(self, fleets: Sequence[quality.FleetDay]) -> None:
        self._choices.clear()
        if self._day is None:
            return
        named = [(one.fleet, fleet_title(one.fleet)) for one in fleets if one.fleet]
        today = utc_now().date()
        with self._choices:
            words = [
                (day.isoformat(), f"{day:%a %d %b %Y}" + (", so far" if day == today else "")) for day in self._days
            ]
            choice("Day (UTC)", words, self._day.isoformat(), self._choose_day)
            choice("Fleet", [(_ALL, "All fleets"), *named], self._fleet or _ALL, self._choose_fleet)

    def _choose_day(self, day: str) -> None:
        self._day = date.fromisoformat(day)
        self._chosen()

    def _choose_fleet(self, fleet: str) -> None:
        self._fleet = fleet or None
        self._chosen()

    def _choose_reason(self, reason: str | None) -> None:
        self._reason = reason
        self._chosen()

    def _chosen(self) -> None:
        replace_address(
            "/quality", day=self._day.isoformat() if self._day else None, fleet=self._fleet, reason=self._reason
        )
        # Not where the choice was made: that place may be drawn anew meanwhile.
        with self._soon:
            ui.timer(0, self._refresh, once=True)

    def _draw_failed(self, failed: Sequence[quality.FailedBuild]) -> None:
        self._failed.clear()
        with self._failed:
            if not failed:
                with box("verdict-line"):
                    box("dot dot-ok", tag="span", aria_hidden="true")
                    text("Every dbt test of the last 24 hours passed: what failed one would not be published.", "muted")
                return
            text(
                f"{format_count(len(failed))} builds failed a dbt model or test; nothing of them was published.",
                "bad-words",
            )
            for one in failed:
                with box("row"):
                    box("dot dot-bad", tag="span", aria_hidden="true")
                    instant(one.at, "full")
                    anchor("run ↗", f"{links.dagster_url()}/runs/{one.run_id}", "link", target="_blank", rel="noopener")
                    text(f"duckdb {one.database}", "mono small muted")
