"""The list of the inbox as elements: a row an entry, and what there is in all. What an entry is: `inbox/view.py`."""

from collections.abc import Callable, Collection, Sequence

from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.serving.pages.inbox import facts, view
from iot_pipeline.serving.pages.parts import states
from iot_pipeline.serving.pages.parts.controls import button
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count

ROWS = 60
"""Entries that are listed at a time."""

Key = Callable[[str], None]


def counts(entries: Sequence[view.Entry], shown: Sequence[view.Entry], range_words: str) -> None:
    """How many are open, by severity, and how many of all are shown."""
    by_severity = view.counts_by_severity(entries)
    with box("row"):
        for severity in reversed(Severity):
            text(f"{format_count(by_severity[severity])} {severity.value}", f"pill severity-pill-{severity}")
        text(f"open in the {range_words}; {format_count(len(shown))} shown", "muted")


def choosing(
    shown: Sequence[view.Entry],
    checked: Collection[str],
    *,
    check_all: Callable[[bool], None],
    acknowledge: Callable[[], object],
) -> None:
    """Buttons that choose all that is shown, and acknowledge what is chosen."""
    everything = bool(shown) and all(one.key in checked for one in shown)
    button("Choose none" if everything else "Choose all shown", lambda: check_all(not everything))
    if checked:
        button(f"Acknowledge {format_count(len(checked))} chosen", acknowledge, "button-main")


def empty(*, only_open: bool, entries: int, range_words: str) -> None:
    """Instead of rows."""
    words = "Nothing is open." if only_open else "Nothing matches."
    states.empty(words, f"{format_count(entries)} in the {range_words} in all.")


def rows(shown: Sequence[view.Entry], checked: Collection[str], *, check: Key, look_at: Key) -> dict[str, Tag]:
    """A row for each of the first ROWS entries; returns them by the entry's key."""
    made = {
        entry.key: _row(entry, checked=entry.key in checked, check=check, look_at=look_at) for entry in shown[:ROWS]
    }
    if len(shown) > ROWS:
        more = format_count(len(shown) - ROWS)
        text(f"{more} more: narrow the filter, or judge the first ones.", "muted inbox-more")
    return made


def _row(entry: view.Entry, *, checked: bool, check: Key, look_at: Key) -> Tag:
    with box("inbox-row") as row:
        mark = Tag("input", type="checkbox", aria_label=f"Choose {entry.device_id} {entry.metric}")
        if checked:
            mark.set(checked="checked")
        mark.on("change", lambda _: check(entry.key))
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
        opening.on("click", lambda _: look_at(entry.key))
    return row
