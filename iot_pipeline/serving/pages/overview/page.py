"""The overview at `/`: is the plant fine, fleet by fleet, and what stands behind it. Computed in `overview/view.py`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nicegui import ui

from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import utc_now
from iot_pipeline.live.model import LiveState
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.inbox import view as inbox_view
from iot_pipeline.serving.pages.inbox.data import read_entries
from iot_pipeline.serving.pages.overview import view
from iot_pipeline.serving.pages.overview.stages import DOTS, draw_stages
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.charts import sparkline
from iot_pipeline.serving.pages.parts.markup import Tag, anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import always, every
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count, format_duration, format_number

FLEET_SECONDS, PIPELINE_SECONDS, ALARM_SECONDS, SAMPLE_SECONDS = 2.0, 5.0, 3.0, 5.0
ALARMS = 8
SAMPLES_LEFT_OUT = 4


class _Look:
    """What all viewers of the overview share: rates over time, and one look at the files for all of them."""

    def __init__(self, context: shell.PageContext) -> None:
        self.context, self.rates = context, view.RateHistory()
        self._pipeline: view.Pipeline | None = None
        self._alarms: list[inbox_view.Entry] = []
        self._alarms_at = datetime.min.replace(tzinfo=UTC)
        self._quiet = SAMPLES_LEFT_OUT

    def sample(self) -> None:
        # The past is read again much faster than it happened, and rates are means over the last seconds.
        if self.context.live.status().state is not LiveState.LIVE:
            self._quiet = SAMPLES_LEFT_OUT
        elif self._quiet:
            self._quiet -= 1
        else:
            self.rates.sample(self.context.live.fleets())

    async def pipeline(self) -> view.Pipeline:
        now = utc_now()
        if self._pipeline is None or now - self._pipeline.at > timedelta(seconds=PIPELINE_SECONDS - 1):
            self._pipeline = await self.context.workers.run(view.pipeline, self.context.paths, now)
        return self._pipeline

    async def alarms(self) -> list[inbox_view.Entry]:
        """The inbox of the last hour."""
        now = utc_now()
        if now - self._alarms_at > timedelta(seconds=ALARM_SECONDS - 1):
            read = await self.context.workers.run(
                read_entries, self.context.paths, self.context.live, now - timedelta(hours=1), now
            )
            self._alarms, self._alarms_at = read.entries, now
        return self._alarms


def register(context: shell.PageContext) -> None:
    """Serve the page."""
    look = _Look(context)
    always(SAMPLE_SECONDS, look.sample)

    @ui.page("/")
    async def overview() -> None:
        pipe, alarms = await look.pipeline(), await look.alarms()
        with shell.frame(context, title="Overview", active="overview"):
            _Overview(look, pipe, alarms).build()


class _Overview:
    """One viewer's page."""

    def __init__(self, look: _Look, pipe: view.Pipeline, alarms: list[inbox_view.Entry]) -> None:
        self._look, self._pipe, self._alarms = look, pipe, alarms
        self._drawn: dict[str, object] = {}

    def build(self) -> None:
        self._verdict = box("verdict", role="status")
        self._first = box("stack")
        self._fleets = box("cards fleets")
        with box("columns"):
            with box("span-7 card", tag="section", aria_label="Anomalies"):
                with box("card-head"):
                    text("Anomalies in the last hour", "card-title", tag="h2")
                    anchor("All anomalies", "/anomalies", "link")
                self._list = box("alarms")
                with box("card-head"):
                    self._learned = text(self._pipe.learned, "muted", tag="p")
                    anchor("Models ↗", links.dagster_url("anomaly_model"), "link", target="_blank", rel="noopener")
            with box("span-5 card", tag="section", aria_label="Pipeline"):
                with box("card-head"):
                    text("Pipeline", "card-title", tag="h2")
                    anchor("Runs in Dagster ↗", links.dagster_url(), "link", target="_blank", rel="noopener")
                self._stages = box("stages", tag="ol")
                text("Collectors", "card-sub", tag="h3")
                self._collectors = box("collectors", tag="ul")
        self._show()
        every(FLEET_SECONDS, self._show, at_once=False)
        every(ALARM_SECONDS, self._refresh_alarms, at_once=False)
        every(PIPELINE_SECONDS, self._refresh_pipeline, at_once=False)

    async def _refresh_alarms(self) -> None:
        self._alarms = await self._look.alarms()
        self._show()

    async def _refresh_pipeline(self) -> None:
        self._pipe = await self._look.pipeline()
        self._show()

    def _show(self) -> None:
        live = self._look.context.live
        cards = view.fleet_cards(live.fleets())
        critical = inbox_view.counts_by_severity(self._alarms)[Severity.critical]
        verdict = view.verdict(live.status(), cards, self._pipe, critical=critical)
        if self._changed("verdict", verdict):
            self._draw_verdict(verdict)
        if self._changed("first", None if cards else view.first_steps(self._pipe)):
            self._draw_first([] if cards else view.first_steps(self._pipe))
        self._draw_fleets(cards)
        shown = [(entry.key, entry.until, entry.count, entry.work) for entry in self._alarms]
        if self._changed("alarms", shown):
            self._draw_alarms(self._alarms)
        if self._changed("stages", self._pipe.stages):
            draw_stages(self._stages, self._pipe.stages)
        if self._changed("learned", self._pipe.learned):
            self._learned.set_text(self._pipe.learned)
        if self._changed("beats", self._pipe.at):
            self._draw_collectors()

    def _changed(self, part: str, value: object) -> bool:
        if part in self._drawn and self._drawn[part] == value:
            return False
        self._drawn[part] = value
        return True

    def _draw_verdict(self, verdict: view.Verdict) -> None:
        self._verdict.clear()
        self._verdict.classes(
            remove=" ".join(f"verdict-{level}" for level in view.Level), add=f"verdict-{verdict.level}"
        )
        with self._verdict:
            box(f"verdict-mark icon icon-{verdict.level}", aria_hidden="true")
            with box("stack verdict-words"):
                text(verdict.headline, "verdict-headline", tag="p")
                if verdict.reasons:
                    with box("verdict-reasons", tag="ul"):
                        for level, reason in verdict.reasons[:6]:
                            with box("", tag="li"):
                                box(f"dot {DOTS[level]}", tag="span", aria_hidden="true")
                                text(reason)

    def _draw_first(self, steps: Sequence[view.Step]) -> None:
        self._first.clear()
        if not steps:
            return
        with self._first, box("card"):
            text("The first minutes", "card-title", tag="h2")
            with box("steps", tag="ol"):
                for step in steps:
                    with box(f"step {'step-done' if step.done else ''}", tag="li"):
                        text("✓" if step.done else "", "step-mark", aria_hidden="true")
                        with box("stack"):
                            text(step.text, "step-text")
                            if not step.done:
                                text(step.hint, "muted")

    def _draw_fleets(self, cards: Sequence[view.FleetCard]) -> None:
        names = [card.fleet for card in cards]
        if self._changed("fleets", names):
            self._fleets.clear()
            with self._fleets:
                self._cards = {card.fleet: _FleetCard(card.fleet, card.title) for card in cards}
        for card in cards:
            self._cards[card.fleet].show(card, self._look.rates.of(card.fleet))

    def _draw_alarms(self, entries: Sequence[inbox_view.Entry]) -> None:
        self._list.clear()
        with self._list:
            if not entries:
                text("Nothing unusual in the last hour.", "muted", tag="p")
            for entry in entries[:ALARMS]:
                alarm_row(entry)
            if len(entries) > ALARMS:
                anchor(f"{format_count(len(entries) - ALARMS)} more", "/anomalies", "link")

    def _draw_collectors(self) -> None:
        self._collectors.clear()
        with self._collectors:
            if not self._pipe.collectors:
                text("None has run on this data folder yet.", "muted", tag="li")
            for beat in self._pipe.collectors:
                level, words = view.collector_level(beat, self._pipe.at)
                with box("collector", tag="li"):
                    box(f"dot {DOTS[level]}", tag="span", aria_hidden="true")
                    text(f"{beat.collector}", "stage-name")
                    text(f"{words} · {beat.broker}", "muted collector-words")
                    text(f"{format_count(beat.messages)} messages", "num muted")


class _FleetCard:
    """The card of a fleet, whose figures change in place."""

    def __init__(self, fleet: str, title: str) -> None:
        url = view.FLEET_PAGES[fleet][1] if fleet in view.FLEET_PAGES else links.page_url("/device", fleet=fleet)
        with Tag("a", "", "card fleet", href=url):
            with box("card-head"):
                text(title, "card-title", tag="h2")
                with box("pill", tag="span") as self._pill:
                    self._dot = box("dot", tag="span", aria_hidden="true")
                    self._words = text("")
            with box("fleet-rate"):
                self._rate = text("", "figure-number num")
                text("readings/s", "figure-unit")
            self._spark = sparkline([], label=f"readings a second of {title} over the last minutes", from_zero=True)
            with box("fleet-facts"):
                self._lag = self._fact("behind")
                self._devices = self._fact("devices")
                self._flags = self._fact("flags, last hour")

    def _fact(self, label: str) -> Tag:
        with box("fact"):
            value = text("", "num fact-value")
            text(label, "muted")
        return value

    def show(self, card: view.FleetCard, rates: Sequence[float]) -> None:
        """Draw what changed."""
        pulse = card.pulse
        kind = {view.Level.ok: "pill-ok", view.Level.bad: "pill-bad", view.Level.warn: "pill-warn"}.get(card.level, "")
        self._pill.classes(remove="pill-ok pill-bad pill-warn", add=kind)
        self._dot.classes(remove="dot-ok dot-bad dot-warn", add=DOTS[card.level])
        _say(self._words, card.words)
        _say(self._rate, format_number(pulse.readings_per_second, 3 if pulse.readings_per_second < 100 else 4))
        _say(self._lag, format_duration(pulse.lag_seconds))
        _say(self._devices, format_count(pulse.devices))
        _say(self._flags, format_count(pulse.flags_last_hour))
        self._flags.classes(remove="bad", add="bad" if pulse.flags_last_hour else "")
        points = " ".join(f"{rate:.4g}" for rate in rates)
        if self._spark.props.get("points") != points:
            self._spark.props["points"] = points
            self._spark.update()


def alarm_row(entry: inbox_view.Entry) -> None:
    """An entry of the inbox in two lines; opens its device."""
    url = links.device_url(entry.device_id, metric=entry.metric, unit=entry.unit)
    with Tag("a", "", f"alarm severity-{entry.severity}", href=url):
        with box("alarm-head"):
            text(entry.severity.value, f"pill severity-pill-{entry.severity}")
            text(f"{entry.device_id or '(no name)'}", "alarm-device device-name")
            text(entry.metric, "muted device-name")
            with box("alarm-when muted", tag="span"):
                if entry.count > 1:
                    text(f"{format_count(entry.count)} \u00d7 · ")
                _until(entry.until)
        text(entry.worst.reason, "alarm-reason")


def _until(ts: datetime) -> None:
    instant(ts, "ago")


def _say(place: Tag, words: str) -> None:
    if place.text != words:
        place.text = words
