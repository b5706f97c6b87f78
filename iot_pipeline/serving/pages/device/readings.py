"""The readings behind a point of the chart of a device, and the message behind any of them."""

from datetime import datetime

import polars as pl

from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.device.facts import Series
from iot_pipeline.serving.pages.device.figures import Span, readings_around
from iot_pipeline.serving.pages.parts import states
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.raw import show_message
from iot_pipeline.serving.pages.parts.refresh import words_of
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_value


class ReadingsBehind:
    """Empty until a point is picked."""

    def __init__(self, context: shell.PageContext, name: str) -> None:
        """`name`: the device."""
        self._context, self._name = context, name
        text("Readings behind a point", "card-title", tag="h2")
        self._readings = box("stack")
        with self._readings:
            text(
                "Click into the chart: the readings behind that point are listed here, each with its message.",
                "muted",
                tag="p",
            )
        self._message = box("stack message")

    async def look(self, series: Series, at: datetime, span: Span) -> None:
        """Show the readings of `series` behind the point at `at` of a chart over `span`."""
        self._readings.clear()
        self._message.clear()
        with self._readings:
            states.loading("Looking for the readings…")
        try:
            found = await self._context.workers.run(readings_around, self._context.paths, self._name, series, at, span)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is said in its place
            self._readings.clear()
            with self._readings:
                states.problem(words_of(error))
            return
        self._readings.clear()
        with self._readings:
            if found.is_empty():
                states.empty(
                    "The minute of this point is not decoded yet.",
                    "Minutes are built within a minute or two of their end; click again then.",
                )
                return
            self._draw_readings(found, series, at)

    def _draw_readings(self, found: pl.DataFrame, series: Series, at: datetime) -> None:
        nearest = min(found["event_ts"], key=lambda ts: abs(ts - at))
        with box("table-wrap readings", tabindex=0), Tag("table", "", "table"):
            with Tag("thead"), Tag("tr"):
                Tag("th", "Happened")
                Tag("th", "Value", "num")
                Tag("th", "Quality")
                Tag("th", "")
            with Tag("tbody"):
                for row in found.iter_rows(named=True):
                    with Tag("tr", "", "near" if row["event_ts"] == nearest else ""):
                        with Tag("td"):
                            instant(row["event_ts"], "time")
                        shown = format_value(row["value"], series.unit, 6)
                        Tag("td", row["text"] if shown == NO_VALUE and row["text"] else shown, "num")
                        Tag("td", row["quality"] or "", "muted")
                        with Tag("td", "", "right"):
                            open_message = Tag("button", "message", "button small", type="button")
                            open_message.on("click", lambda _, key=row["message_id"]: self._show(key))

    async def _show(self, message_id: str) -> None:
        await show_message(self._message, self._context.paths, self._context.workers, message_id)
