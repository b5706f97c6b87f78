"""Data quality at `/quality`: can these figures be trusted, and what has to be done. Computed in `serving/quality.py`.

From the question to its cause: how fresh each stage is, what became of every message, which devices lack readings, and
what could not be read with the command that reads it again.
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
from iot_pipeline.serving.pages.parts.charts import Chart, Line, series_chart, series_spec
from iot_pipeline.serving.pages.parts.controls import choice
from iot_pipeline.serving.pages.parts.markup import Tag, anchor, box, text
from iot_pipeline.serving.pages.parts.numbers import figure
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.tables import Cell, Column, table
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count
from iot_pipeline.serving.pages.quality.devices import draw_devices, draw_fleets
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
                self._balance = box("stack")
                self._chart: Chart | None = None
                self._chart_place = box()
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
            self._draw_account(now.account)
        if self._changed("quarantine", (self._reason, now.reasons, now.samples)):
            self._draw_quarantine(now.reasons, now.samples)
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

    def _draw_account(self, account: quality.Account) -> None:
        self._balance.clear()
        messages = account.total("messages")
        with self._balance:
            if account.rows.is_empty():
                states.empty(
                    "No message was decoded in the last 3 hours.",
                    "The first minute comes a minute after the first message.",
                )
                return
            parts = (
                ("decoded", "decoded", "at least one reading was stored"),
                ("duplicates", "repeated", "everything in them was told before"),
                ("no_reading", "without reading", "nothing to store, by rule: deaths, commands, nulls"),
                ("quarantined", "quarantined", "nothing could be read"),
            )
            with box("figures balance"):
                figure(format_count(messages), None, "messages", "landed in these minutes")
                for at, (column, label, hint) in enumerate(parts):
                    text("=" if at == 0 else "+", "balance-sign", aria_hidden="true")
                    figure(format_count(account.total(column)), None, label, hint)
            if account.broken:
                states.problem(
                    f"The account does not add up in {format_count(len(account.broken))} minutes, the first being "
                    f"{account.broken[0]:%H:%M} UTC.",
                    "Materialise these minutes of `readings` again in Dagster.",
                )
            else:
                with box("verdict-line"):
                    box("dot dot-ok", tag="span", aria_hidden="true")
                    text(f"It adds up in each of {format_count(account.rows.height)} minutes: none is lost.", "muted")
        self._draw_lateness(account)

    def _draw_lateness(self, account: quality.Account) -> None:
        points = list(account.rows.select("minute", "lag_p95_seconds").iter_rows())
        unread = [(minute, float(count)) for minute, count in account.rows.select("minute", "quarantined").iter_rows()]
        lines = [Line(name="lateness, p95", points=points)]
        if self._chart is None:
            with self._chart_place:
                text("Lateness: from the event to its receipt, 95 % of readings within", "card-sub")
                self._chart = series_chart(
                    label="95th percentile of the lateness of readings by minute", unit="s", lines=lines, height=150
                )
                if any(count for _, count in unread):
                    text("Quarantined messages by minute", "card-sub")
                    series_chart(
                        label="quarantined messages by minute",
                        unit="messages",
                        lines=[Line(name="quarantined", points=unread, kind="bar", colour="--c2")],
                        height=110,
                    )
        else:
            self._chart.show(series_spec(unit="s", lines=lines))

    def _draw_quarantine(self, reasons: Sequence[quality.Reason], samples: Sequence[quality.Sample]) -> None:
        self._quarantine.clear()
        with self._quarantine:
            if not reasons:
                states.empty(
                    "Everything could be read.", "Messages that cannot be read would be here, with the reason."
                )
                return
            self._draw_reasons(reasons)
            chosen = next((one for one in reasons if one.reason == self._reason), None)
            with box("columns"):
                with box("span-7 stack samples"):
                    title = "Newest" + (f" with reason {chosen.reason}" if chosen else "")
                    text(title, "card-sub", tag="h3")
                    for sample in samples:
                        _draw_sample(sample)
                with box("span-5 stack"):
                    text("What to do", "card-sub", tag="h3")
                    for what, line in quality.commands(chosen or reasons[0]):
                        with box("command"):
                            text(what, "muted")
                            text(line, "mono payload", tag="code")
                    text(
                        "What is read after all moves to readings by itself; figures that depend on it are made again.",
                        "muted",
                        tag="p",
                    )

    def _draw_reasons(self, reasons: Sequence[quality.Reason]) -> None:
        columns = [
            Column("Reason"),
            Column("Mapping", hint="the mapping that tried to read it"),
            Column("Messages", numeric=True),
            Column("Fields or messages", numeric=True, hint="rows in quarantine: a message can have several"),
            Column(
                "Device unknown",
                numeric=True,
                hint="their topic does not tell whose they are",
            ),
            Column("Last seen"),
        ]

        def reason_cell(one: quality.Reason) -> Cell:
            def draw() -> None:
                pressed = one.reason == self._reason
                made = Tag("button", one.reason, "link mono", type="button", aria_pressed=str(pressed).lower())
                made.on("click", lambda: self._choose_reason(None if pressed else one.reason))

            return draw

        rows: list[list[Cell]] = [
            [
                reason_cell(one),
                one.mapping or "none matches",
                format_count(one.messages),
                format_count(one.rows),
                format_count(one.unattributed),
                lambda one=one: instant(one.last, "time"),  # type: ignore[misc]
            ]
            for one in reasons
        ]
        table(columns, rows, label="Reasons for quarantine")


def _draw_sample(sample: quality.Sample) -> None:
    with box("sample"):
        with box("row"):
            text(sample.reason, "pill pill-warn mono")
            instant(sample.received_at, "time")
            if sample.device_id is not None:
                links.device_link(sample.device_id)
        text(sample.topic, "mono sample-topic")
        text(f"{sample.field}: {sample.detail}" if sample.field else sample.detail, "muted")
        text(sample.payload, "mono payload", tag="pre")
        if sample.payload_size > quality.SAMPLE_BYTES:
            text(f"the first {quality.SAMPLE_BYTES} of {format_count(sample.payload_size)} bytes", "muted small")
