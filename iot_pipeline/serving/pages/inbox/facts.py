"""The figures of an entry of the inbox, and what was said about it, as elements. What an entry is: `inbox/view.py`."""

from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.serving.pages.inbox.view import Entry, label_text
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count, format_duration, format_number, format_value


def lasted(entry: Entry) -> str:
    """From its first to its last flag, in words."""
    return format_duration((entry.until - entry.since).total_seconds())


def going_on(entry: Entry) -> bool:
    """Whether it is an event that is not over."""
    return entry.event is not None and entry.event.status is EventStatus.OPEN


def facts(entry: Entry) -> None:
    """Its strangest reading, what was expected, and how long it lasted."""
    worst = entry.worst
    with box("figures"):
        _figure("Value", format_value(worst.value, entry.unit, 5))
        if worst.expected_low is not None and worst.expected_high is not None:
            low, high = format_number(worst.expected_low, 5), format_value(worst.expected_high, entry.unit, 5)
            _figure("Expected", f"{low} to {high}")
        _figure("Score", f"{format_number(worst.score, 3)} \u00d7 threshold")
        _figure("Readings", format_count(entry.count))
        if entry.until > entry.since:
            _figure("Lasting" if going_on(entry) else "Lasted", lasted(entry))
        with box("figure"):
            text("Last", "figure-label")
            with box("figure-small"):
                instant(entry.until, "time")


def _figure(label: str, value: str) -> None:
    with box("figure"):
        text(label, "figure-label")
        text(value, "figure-small num")


def said(entry: Entry) -> None:
    """What was said about it last; nothing when nobody did."""
    if entry.feedback is None:
        return
    word = entry.feedback
    with box("said"):
        text(label_text(word.label), "pill pill-accent")
        text(f"by {word.author}")
        instant(word.at, "ago")
        if word.note:
            text(word.note, "said-note")
