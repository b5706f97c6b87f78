"""Parts of the page of a device: a tile for each metric, a row for each flag."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from iot_pipeline.live.model import LatestReading
from iot_pipeline.serving.pages.device.facts import Series
from iot_pipeline.serving.pages.inbox import view as inbox_view
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_count, format_value


class Tile:
    """What a metric says now; pressing it draws its history."""

    def __init__(self, series: Series, on_choose: Callable[[Series], None]) -> None:
        self._button = Tag("button", "", "tile", type="button")
        self._button.on("click", lambda _: on_choose(series))
        self._shown: LatestReading | None = None
        with self._button:
            text(series.metric, "tile-name")
            self._value = text(NO_VALUE, "tile-value num")
            self._age = box("tile-age muted", tag="span")

    def press(self, *, on: bool) -> None:
        """Show it as the chosen one, or not."""
        self._button.set(aria_pressed=str(on).lower())

    def show(self, latest: LatestReading | None, *, chosen: bool) -> None:
        """Draw what changed."""
        if self._button.props.get("aria-pressed") != str(chosen).lower():
            self.press(on=chosen)
        if latest is None or latest == self._shown:
            return
        self._shown = latest
        value = latest.text if latest.value is None and latest.text is not None else None
        self._value.text = value if value is not None else format_value(latest.value, latest.unit)
        self._button.classes(remove="tile-bad", add="tile-bad" if latest.quality == "bad" else "")
        self._age.clear()
        with self._age:
            instant(latest.event_ts, "ago")
            if latest.quality != "good":
                text(f" · {latest.quality}")


def flag_row(entry: inbox_view.Entry, on_pick: Callable[[datetime], Awaitable[None]]) -> None:
    """Flags that belong together; pressing it picks the strangest reading."""
    with Tag("button", "", "alarm", type="button") as row:
        with box("alarm-head", tag="span"):
            text(entry.severity.value, f"pill severity-pill-{entry.severity}")
            text(entry.detector, "alarm-device")
            if not entry.published:
                text("seen live", "pill")
            if entry.feedback is not None:
                text(inbox_view.label_text(entry.feedback.label), "pill pill-accent")
            with box("alarm-when muted", tag="span"):
                if len(entry.flags) > 1:
                    text(f"{format_count(len(entry.flags))} \u00d7 · ")
                instant(entry.until, "time")
        text(entry.worst.reason, "alarm-reason")
    row.on("click", lambda _: on_pick(entry.worst.event_ts))
