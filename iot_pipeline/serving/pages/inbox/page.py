"""The anomalies inbox at `/anomalies`: look, judge, go on. Entries: `inbox/view.py`, read by `inbox/data.py`.

Everything can be done from the keyboard: j and k go through the list, a, c, f and n say what it was, x chooses,
m shows the message behind it.
"""

import asyncio
from contextlib import suppress
from functools import partial

from nicegui import ui

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.feedback import FeedbackLabel, record_all
from iot_pipeline.anomalies.severity import Severity, severity_of
from iot_pipeline.clock import utc_now
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.inbox import data, facts, view
from iot_pipeline.serving.pages.overview.view import fleet_title
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.browser import replace_address, tell
from iot_pipeline.serving.pages.parts.charts import Band, Line, Mark, series_chart
from iot_pipeline.serving.pages.parts.controls import LONGEST_TEXT, button, choice, text_field
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.raw import show_message
from iot_pipeline.serving.pages.parts.refresh import every, words_of
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count

REFRESH_SECONDS = 5.0
AT_ONCE_SECONDS = 1.0
ROWS = 60
LONGEST_NOTE, LONGEST_AUTHOR = 1_000, 100
_ANY = ""
_LABELS = (
    (FeedbackLabel.acknowledged, "Acknowledge", "a"),
    (FeedbackLabel.confirmed, "Confirmed", "c"),
    (FeedbackLabel.false_alarm, "False alarm", "f"),
    (FeedbackLabel.known_cause, "Known cause", "n"),
)


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/anomalies")
    async def inbox() -> None:
        request = ui.context.client.request
        key_name = request.scope.get("state", {}).get("key_name")
        asked = request.query_params
        chosen = view.Filter(
            fleet=asked.get("fleet") or None,
            device=asked.get("device", "")[:LONGEST_TEXT] or None,
            detector=asked.get("detector") or None,
            type=next((one for one in FlagType if one.value == asked.get("type")), None),
            severity=next((one for one in Severity if one.value == asked.get("severity")), None),
            label=asked.get("label", "open") or None,
        )
        span = asked.get("range", "")
        page = _Inbox(context, data.rights(context.settings, key_name), chosen, span if span in data.RANGES else "1h")
        await page.read_at_once()
        with shell.frame(context, title="Anomalies", active="anomalies"):
            page.build()


class _Inbox:
    """One viewer's inbox."""

    def __init__(self, context: shell.PageContext, rights: data.Rights, chosen: view.Filter, span: str) -> None:
        self._context, self._rights, self._filter, self._span = context, rights, chosen, span
        self._entries: list[view.Entry] = []
        self._shown: list[view.Entry] = []
        self._rows: dict[str, Tag] = {}
        self._checked: set[str] = set()
        self._open: str | None = None
        self._place = 0
        self._read: data.Read | None = None
        self._author = rights.author or ""
        self._note = ""
        self._message: Tag | None = None
        self._signature: object = None

    def build(self) -> None:
        """Everything below the title."""
        self._filters = box("row filters card", role="search", aria_label="Filter")
        self._bar = box("row spread inbox-bar")
        self._problem = box("refresh-problem hidden", role="status")
        with box("columns inbox") as self._columns:
            self._list = box("span-5 card inbox-list", tag="section", aria_label="List of anomalies")
            self._detail = box("span-7 card inbox-detail", tag="section", aria_label="Chosen anomaly")
        with box("hidden"):  # keys of this page: buttons that stay while what is shown is drawn anew
            if not self._rights.refusal:
                for label, words, key in _LABELS:
                    button(words, partial(self._say_of_open, label), data_hotkey=key)
            button("next", lambda: self._step(1), data_hotkey="j")
            button("previous", lambda: self._step(-1), data_hotkey="k")
            button("choose", self._toggle_open, data_hotkey="x")
            button("message", self._show_message, data_hotkey="m")
        self._draw_filters()
        if self._read is None:
            with self._list:
                states.loading()
        else:
            self._take(self._read)
        every(REFRESH_SECONDS, self._refresh, at_once=self._read is None)

    # ---- what is shown

    async def read_at_once(self) -> None:
        """So that the first answer shows the list already, unless reading takes too long for that."""
        with suppress(Exception):  # it is tried again, and told, once the page is there
            self._read = await asyncio.wait_for(self._entries_now(), AT_ONCE_SECONDS)

    async def _entries_now(self) -> data.Read:
        now = utc_now()
        since = now - data.RANGES[self._span][1]
        return await self._context.workers.run(data.read_entries, self._context.paths, self._context.live, since, now)

    async def _refresh(self) -> None:
        self._take(await self._entries_now())

    def _take(self, read: data.Read) -> None:
        self._tell(read.note)
        before = self._choices()
        self._entries = read.entries
        if before != self._choices():
            self._draw_filters()
        self._draw()

    def _choices(self) -> tuple[object, ...]:
        return view.detectors_of(self._entries), view.types_of(self._entries), self._fleets()

    def _fleets(self) -> list[str]:
        return sorted({entry.fleet for entry in self._entries if entry.fleet})

    def _draw(self) -> None:
        self._shown = [entry for entry in self._entries if self._filter.meets(entry)]
        keys = {entry.key for entry in self._shown}
        self._checked &= keys
        signature = [(one.key, one.count, one.unsaid, one.published, one.feedback, one.event) for one in self._shown]
        if signature != self._signature:
            self._signature = signature
            self._draw_list()
            self._draw_bar()
            if self._open in keys:
                self._mark_open()
            else:  # what took its place is next
                place = min(self._place, len(self._shown) - 1)
                self._choose(self._shown[place].key if self._shown else None)

    def _tell(self, message: str) -> None:
        self._problem.text = message
        self._problem.classes(add="" if message else "hidden", remove="hidden" if message else "")

    def _draw_filters(self) -> None:
        chosen = self._filter
        self._filters.clear()
        with self._filters:
            choice("Time", [(key, words) for key, (words, _) in data.RANGES.items()], self._span, self._choose_span)
            choice(
                "State",
                [
                    ("open", "open"),
                    ("done", "done"),
                    *((one.value, view.label_text(one)) for one in FeedbackLabel),
                    (_ANY, "all"),
                ],
                chosen.label or _ANY,
                lambda value: self._narrow(label=value or None),
            )
            choice(
                "Severity",
                [(_ANY, "any"), *((one.value, one.value) for one in reversed(Severity))],
                chosen.severity.value if chosen.severity else _ANY,
                lambda value: self._narrow(severity=Severity(value) if value else None),
            )
            types = [one for one in FlagType if one in {*view.types_of(self._entries), chosen.type}]
            choice(
                "Type",
                [(_ANY, "any"), *((one.value, one.value) for one in types)],
                chosen.type.value if chosen.type else _ANY,
                lambda value: self._narrow(type=FlagType(value) if value else None),
            )
            fleets = sorted({*self._fleets(), *([chosen.fleet] if chosen.fleet else [])})
            choice(
                "Fleet",
                [(_ANY, "any"), *((one, fleet_title(one)) for one in fleets)],
                chosen.fleet or _ANY,
                lambda value: self._narrow(fleet=value or None),
            )
            detectors = sorted({*view.detectors_of(self._entries), *([chosen.detector] if chosen.detector else [])})
            choice(
                "Detector",
                [(_ANY, "any"), *((one, one) for one in detectors)],
                chosen.detector or _ANY,
                lambda value: self._narrow(detector=value or None),
            )
            text_field(
                "Device",
                chosen.device or "",
                lambda value: self._narrow(device=value.strip() or None),
                placeholder="part of its name",
                classes="grow",
            )

    def _narrow(self, **changes: object) -> None:
        self._filter = view.changed(self._filter, **changes)
        self._remember_address()
        self._draw()

    async def _choose_span(self, key: str) -> None:
        self._span = key
        self._remember_address()
        await self._again()

    def _remember_address(self) -> None:
        chosen = self._filter
        replace_address(
            "/anomalies",
            range=self._span,
            label=chosen.label or "",
            severity=chosen.severity.value if chosen.severity else None,
            fleet=chosen.fleet,
            detector=chosen.detector,
            type=chosen.type.value if chosen.type else None,
            device=chosen.device,
        )

    async def _again(self) -> None:
        try:
            await self._refresh()
        except Exception as error:  # noqa: BLE001 -- said where somebody looks
            self._tell(words_of(error))

    # ---- the list

    def _draw_bar(self) -> None:
        counts = view.counts_by_severity(self._entries)
        self._bar.clear()
        with self._bar:
            with box("row"):
                for severity in reversed(Severity):
                    text(f"{format_count(counts[severity])} {severity.value}", f"pill severity-pill-{severity}")
                text(f"open in the {data.RANGES[self._span][0]}; {format_count(len(self._shown))} shown", "muted")
            with box("row"):
                if self._rights.refusal:
                    text(self._rights.refusal, "muted")
                    return
                everything = bool(self._shown) and all(one.key in self._checked for one in self._shown)
                button("Choose none" if everything else "Choose all shown", lambda: self._check_all(on=not everything))
                if self._checked:
                    button(
                        f"Acknowledge {format_count(len(self._checked))} chosen",
                        lambda: self._say(FeedbackLabel.acknowledged, self._checked_entries()),
                        "button-main",
                    )

    def _draw_list(self) -> None:
        self._list.clear()
        self._rows = {}
        with self._list:
            if not self._shown:
                words = "Nothing is open." if self._filter.label == "open" else "Nothing matches."
                states.empty(words, f"{format_count(len(self._entries))} in the {data.RANGES[self._span][0]} in all.")
                return
            for entry in self._shown[:ROWS]:
                self._rows[entry.key] = self._row(entry)
            if len(self._shown) > ROWS:
                text(
                    f"{format_count(len(self._shown) - ROWS)} more: narrow the filter, or judge the first ones.",
                    "muted inbox-more",
                )

    def _row(self, entry: view.Entry) -> Tag:
        with box("inbox-row") as row:
            mark = Tag("input", type="checkbox", aria_label=f"Choose {entry.device_id} {entry.metric}")
            if entry.key in self._checked:
                mark.set(checked="checked")
            mark.on("change", lambda _: self._check(entry.key))
            with Tag("button", "", "inbox-open", type="button") as opening:
                with box("alarm-head", tag="span"):
                    text(entry.severity.value, f"pill severity-pill-{entry.severity}")
                    text(entry.device_id or "(no name)", "alarm-device device-name")
                    text(entry.metric, "muted device-name")
                with box("inbox-facts muted", tag="span"):
                    text(entry.type.value if entry.type else entry.detector)
                    if entry.count > 1:
                        text(f"{format_count(entry.count)} readings in {facts.lasted(entry)}")
                    with box("", tag="span"):
                        instant(entry.until, "ago")
                    if facts.going_on(entry):
                        text("going on")
                    if not entry.published:
                        text("just now", title="Seen live; the batch layer has not looked at it yet.")
                    if entry.feedback is not None:
                        text(view.label_text(entry.feedback.label), "pill pill-accent")
            opening.on("click", lambda _: self._look_at(entry.key))
        return row

    def _check(self, key: str) -> None:
        self._checked ^= {key}
        self._draw_bar()

    def _check_all(self, *, on: bool) -> None:
        self._checked = {entry.key for entry in self._shown} if on else set()
        self._draw_list()
        self._mark_open()
        self._draw_bar()

    def _toggle_open(self) -> None:
        if self._open is not None:
            self._checked ^= {self._open}
            self._draw_list()
            self._mark_open()
            self._draw_bar()

    def _checked_entries(self) -> list[view.Entry]:
        return [entry for entry in self._shown if entry.key in self._checked]

    def _opened(self) -> view.Entry | None:
        return next((one for one in self._shown if one.key == self._open), None)

    def _step(self, by: int) -> None:
        keys = [entry.key for entry in self._shown[:ROWS]]
        if keys:
            place = keys.index(self._open) + by if self._open in keys else 0
            self._look_at(keys[max(0, min(place, len(keys) - 1))])

    def _choose(self, key: str | None) -> None:
        self._open = key
        self._place = next((index for index, one in enumerate(self._shown) if one.key == key), 0)
        self._mark_open()
        self._draw_detail()

    def _look_at(self, key: str) -> None:
        """Somebody chose it: a narrow screen shows it instead of the list."""
        self._choose(key)
        self._columns.classes(add="looking")
        if self._open in self._rows:
            ui.run_javascript(f"getHtmlElement({self._rows[self._open].id})?.scrollIntoView({{block: 'nearest'}})")

    def _back(self) -> None:
        self._columns.classes(remove="looking")

    def _mark_open(self) -> None:
        for key, row in self._rows.items():
            row.set(aria_current="true" if key == self._open else None)

    # ---- one of them

    def _draw_detail(self) -> None:
        entry = self._opened()
        self._detail.clear()
        with self._detail:
            if entry is None:
                self._back()
                text("Nothing is chosen.", "muted", tag="p")
                return
            button("← Back to the list", self._back, "narrow-only")
            with box("card-head"):
                with box("row"):
                    text(entry.severity.value, f"pill severity-pill-{entry.severity}")
                    links.device_link(entry.device_id, metric=entry.metric, unit=entry.unit, range="6h").classes(
                        "card-title"
                    )
                    text(entry.metric, "muted device-name")
                    if entry.type is not None:
                        text(entry.type.value, "pill")
                if not entry.published:
                    text("seen live, not published yet", "pill")
                elif facts.going_on(entry):
                    text("going on", "pill pill-accent")
            text(entry.sentence, "reason", tag="p")
            facts.facts(entry)
            self._chart_place = box("chart-place")
            with self._chart_place:
                states.loading()
            self._judgement(entry)
            facts.said(entry)
            self._behind(entry)
            with box("origins"):
                links.dagster_asset("anomaly_events" if entry.event else "anomaly_flags")
                links.dbt_model("device_minute")
                links.report_link("anomalies")
        with self._columns:  # the button that led here may be gone with what was drawn before
            ui.timer(0, lambda: self._draw_chart(entry), once=True)

    async def _draw_chart(self, entry: view.Entry) -> None:
        try:
            shown = await self._context.workers.run(data.around, self._context.paths, self._context.live, entry)
        except Exception as error:  # noqa: BLE001 -- said where the chart would be
            shown, told = data.Around([], []), words_of(error)
        else:
            told = "No readings of that time are at hand."
        if self._open != entry.key:
            return
        self._chart_place.clear()
        with self._chart_place:
            if not shown.points:
                text(told, "muted", tag="p")
                return
            series_chart(
                label=f"{entry.metric} of {entry.device_id} around the flags",
                unit=entry.unit,
                lines=[Line(name=entry.metric, points=shown.points, colour="--c1")],
                band=Band(view.expected_band(shown.flags), name="expected"),
                marks=[
                    Mark(ts=one.event_ts, value=one.value, reason=one.reason, severity=severity_of(one.score).value)
                    for one in shown.flags
                ],
                height=230,
            )

    def _behind(self, entry: view.Entry) -> None:
        self._message = None
        if entry.event is None or entry.event.peak_message_id is None:
            return
        with box("behind"), button("", self._show_message, "small"):
            text("Message behind it")
            text("m", "key", tag="kbd", aria_hidden="true")
        self._message = box("stack message")

    async def _show_message(self) -> None:
        entry = self._opened()
        if entry is None or entry.event is None or entry.event.peak_message_id is None or self._message is None:
            tell("No message is known of this one.")
            return
        await show_message(self._message, self._context.paths, self._context.workers, entry.event.peak_message_id)

    def _judgement(self, entry: view.Entry) -> None:
        if self._rights.refusal:
            return
        with box("judgement"):
            with box("row"):
                if self._rights.author is None:
                    author = text_field("Your name", self._author, self._set_author, placeholder="who says it")
                    author.set(data_remember="author", maxlength=LONGEST_AUTHOR)
                text_field("Note", "", self._set_note, placeholder="what it was, if you know", classes="grow").set(
                    maxlength=LONGEST_NOTE
                )
            with box("row"):
                for label, words, key in _LABELS:
                    with button("", partial(self._say, label, [entry])):
                        text(words)
                        text(key, "key", tag="kbd", aria_hidden="true")

    def _set_author(self, author: str) -> None:
        self._author = author.strip()[:LONGEST_AUTHOR]

    def _set_note(self, note: str) -> None:
        self._note = note.strip()[:LONGEST_NOTE]

    async def _say(self, label: FeedbackLabel, entries: list[view.Entry]) -> None:
        with self._columns:  # the button that was pressed is drawn anew meanwhile
            await self._record(label, entries)

    async def _say_of_open(self, label: FeedbackLabel) -> None:
        await self._say(label, [entry for entry in self._shown if entry.key == self._open])

    async def _record(self, label: FeedbackLabel, entries: list[view.Entry]) -> None:
        if not self._author:
            tell("Say who you are first: your name stands beside what you say.")
            return
        if not entries:
            return
        flags = [key for entry in entries for key in entry.keys]
        try:
            await self._context.workers.run(
                record_all, self._context.paths, flags, label, author=self._author, note=self._note
            )
        except Exception as error:  # noqa: BLE001 -- said where somebody looks
            self._tell(words_of(error))
            return
        self._note = ""
        tell(f"{view.label_text(label).capitalize()}: {format_count(len(entries))}")
        self._checked -= {entry.key for entry in entries}
        await self._again()
        self._draw_detail()
