"""The anomalies inbox at `/anomalies`: look, judge, go on. Entries: `inbox/view.py`, read by `inbox/data.py`.

What is drawn stands in `filters.py`, `listing.py`, `detail.py` and `judgement.py`; here is what happens between them.
Everything can be done from the keyboard: j and k go through the list, a, c, f and n say what it was, x chooses,
m shows the message behind it.
"""

import asyncio
from contextlib import suppress
from functools import partial

from nicegui import ui

from iot_pipeline.anomalies.feedback import FeedbackLabel
from iot_pipeline.clock import utc_now
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.inbox import data, filters, listing, view
from iot_pipeline.serving.pages.inbox.detail import Detail
from iot_pipeline.serving.pages.inbox.judgement import LABELS, Judgement
from iot_pipeline.serving.pages.parts import states
from iot_pipeline.serving.pages.parts.controls import button
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import every, words_of

REFRESH_SECONDS = 5.0
AT_ONCE_SECONDS = 1.0


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/anomalies")
    async def inbox() -> None:
        request = ui.context.client.request
        key_name = request.scope.get("state", {}).get("key_name")
        page = _Inbox(context, data.rights(context.settings, key_name), *filters.asked(request.query_params))
        await page.read_at_once()
        with shell.frame(context, title="Anomalies", active="anomalies"):
            page.build()


class _Inbox:
    """One viewer's inbox."""

    def __init__(self, context: shell.PageContext, rights: data.Rights, chosen: view.Filter, span: str) -> None:
        self._context, self._rights, self._filter, self._span = context, rights, chosen, span
        self._judgement = Judgement(context, rights)
        self._entries: list[view.Entry] = []
        self._shown: list[view.Entry] = []
        self._rows: dict[str, Tag] = {}
        self._checked: set[str] = set()
        self._open: str | None = None
        self._place = 0
        self._read: data.Read | None = None
        self._signature: object = None

    def build(self) -> None:
        """Everything below the title."""
        self._filters = box("row filters card", role="search", aria_label="Filter")
        self._bar = box("row spread inbox-bar")
        self._problem = box("refresh-problem hidden", role="status")
        with box("columns inbox") as self._columns:
            self._list = box("span-5 card inbox-list", tag="section", aria_label="List of anomalies")
            place = box("span-7 card inbox-detail", tag="section", aria_label="Chosen anomaly")
        self._detail = Detail(self._context, place)
        with box("hidden"):  # keys of this page: buttons that stay while what is shown is drawn anew
            if not self._rights.refusal:
                for label, words, key in LABELS:
                    button(words, partial(self._say_of_open, label), data_hotkey=key)
            button("next", lambda: self._step(1), data_hotkey="j")
            button("previous", lambda: self._step(-1), data_hotkey="k")
            button("choose", self._toggle_open, data_hotkey="x")
            button("message", self._detail.show_message, data_hotkey="m")
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

    async def _again(self) -> None:
        try:
            await self._refresh()
        except Exception as error:  # noqa: BLE001 -- said where somebody looks
            self._tell(words_of(error))

    def _take(self, read: data.Read) -> None:
        self._tell(read.note)
        before = filters.choices(self._entries)
        self._entries = read.entries
        if before != filters.choices(self._entries):
            self._draw_filters()
        self._draw()

    def _tell(self, message: str) -> None:
        self._problem.text = message
        self._problem.classes(add="" if message else "hidden", remove="hidden" if message else "")

    def _narrow(self, **changes: object) -> None:
        self._filter = view.changed(self._filter, **changes)
        filters.remember(self._filter, self._span)
        self._draw()

    async def _choose_span(self, key: str) -> None:
        self._span = key
        filters.remember(self._filter, self._span)
        await self._again()

    # ---- drawing

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

    def _draw_filters(self) -> None:
        filters.draw(
            self._filters,
            self._entries,
            self._filter,
            self._span,
            narrow=self._narrow,
            choose_span=self._choose_span,
        )

    def _draw_bar(self) -> None:
        self._bar.clear()
        with self._bar:
            listing.counts(self._entries, self._shown, data.RANGES[self._span][0])
            with box("row"):
                if self._rights.refusal:
                    text(self._rights.refusal, "muted")
                    return
                listing.choosing(
                    self._shown, self._checked, check_all=self._check_all, acknowledge=self._acknowledge_checked
                )

    def _draw_list(self) -> None:
        self._list.clear()
        self._rows = {}
        with self._list:
            if self._shown:
                self._rows = listing.rows(self._shown, self._checked, check=self._check, look_at=self._look_at)
                return
            only_open = self._filter.label == "open"
            listing.empty(only_open=only_open, entries=len(self._entries), range_words=data.RANGES[self._span][0])

    def _draw_detail(self) -> None:
        entry = self._opened()
        if entry is None:
            self._back()
        with self._columns:  # the button that led here may be gone with what was drawn before
            self._detail.draw(
                entry,
                back=self._back,
                judgement=lambda: self._judgement.draw(lambda label: self._say(label, [entry] if entry else [])),
            )

    def _mark_open(self) -> None:
        for key, row in self._rows.items():
            row.set(aria_current="true" if key == self._open else None)

    # ---- choosing

    def _check(self, key: str) -> None:
        self._checked ^= {key}
        self._draw_bar()

    def _check_all(self, on: bool) -> None:  # noqa: FBT001 -- a callback's only argument
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

    def _opened(self) -> view.Entry | None:
        return next((one for one in self._shown if one.key == self._open), None)

    def _step(self, by: int) -> None:
        keys = [entry.key for entry in self._shown[: listing.ROWS]]
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

    # ---- judging

    async def _acknowledge_checked(self) -> None:
        await self._say(FeedbackLabel.acknowledged, [entry for entry in self._shown if entry.key in self._checked])

    async def _say_of_open(self, label: FeedbackLabel) -> None:
        await self._say(label, [entry for entry in self._shown if entry.key == self._open])

    async def _say(self, label: FeedbackLabel, entries: list[view.Entry]) -> None:
        with self._columns:  # the button that was pressed is drawn anew meanwhile
            try:
                recorded = await self._judgement.record(label, entries)
            except Exception as error:  # noqa: BLE001 -- said where somebody looks
                self._tell(words_of(error))
                return
            if recorded:
                self._checked -= {entry.key for entry in entries}
                await self._again()
                self._draw_detail()
