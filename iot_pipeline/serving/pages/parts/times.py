"""Instants: the browser shows them in the viewer's zone, with UTC on hover. No arithmetic of times here."""

from datetime import UTC, datetime
from typing import Literal

from iot_pipeline.serving.pages.parts.markup import Tag

Form = Literal["time", "minute", "date", "full", "ago"]


def utc_text(ts: datetime) -> str:
    """An instant in UTC as people read it, to the second."""
    return f"{ts.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def instant(ts: datetime | None, form: Form = "full", none: str = "never") -> Tag:
    """An instant in the viewer's zone; `ago` counts up by itself. `none` is shown where there is no instant.

    Forms: `time` 14:03:07 (with the date when it is not today's), `minute` 14:03, `date` 22 Nov 2026,
    `full` 22 Nov 2026, 14:03:07, `ago` 12 s ago.
    """
    if ts is None:
        return Tag("span", none, "muted")
    return Tag("iot-time", "", "num", datetime=ts.astimezone(UTC).isoformat(), form=form, title=utc_text(ts))
