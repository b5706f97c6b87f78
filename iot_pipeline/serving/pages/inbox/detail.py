"""One entry of the inbox in full: its sentence, figures, chart and the message behind it. What it is: `view.py`."""

from collections.abc import Callable

from nicegui import ui

from iot_pipeline.anomalies.severity import severity_of
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.inbox import data, facts, view
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.browser import tell
from iot_pipeline.serving.pages.parts.charts import Band, Line, Mark, series_chart
from iot_pipeline.serving.pages.parts.controls import button
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.raw import show_message
from iot_pipeline.serving.pages.parts.refresh import words_of


class Detail:
    """The entry that is looked at, drawn in `place`."""

    def __init__(self, context: shell.PageContext, place: Tag) -> None:
        self._context, self._place = context, place
        self._entry: view.Entry | None = None
        self._message: Tag | None = None

    def draw(self, entry: view.Entry | None, *, back: Callable[[], None], judgement: Callable[[], None]) -> None:
        """Draw `entry` instead of what was there; `judgement` draws what can be said about it."""
        self._entry, self._message = entry, None
        self._place.clear()
        with self._place:
            if entry is None:
                text("Nothing is chosen.", "muted", tag="p")
                return
            button("← Back to the list", back, "narrow-only")
            _head(entry)
            text(entry.sentence, "reason", tag="p")
            facts.facts(entry)
            chart = box("chart-place")
            with chart:
                states.loading()
            judgement()
            facts.said(entry)
            self._behind(entry)
            with box("origins"):
                links.dagster_asset("anomaly_events" if entry.event else "anomaly_flags")
                links.dbt_model("device_minute")
                links.report_link("anomalies")
        ui.timer(0, lambda: self._draw_chart(entry, chart), once=True)

    async def show_message(self) -> None:
        """Show the message behind the entry below it."""
        entry = self._entry
        if entry is None or entry.event is None or entry.event.peak_message_id is None or self._message is None:
            tell("No message is known of this one.")
            return
        await show_message(self._message, self._context.paths, self._context.workers, entry.event.peak_message_id)

    def _behind(self, entry: view.Entry) -> None:
        if entry.event is None or entry.event.peak_message_id is None:
            return
        with box("behind"), button("", self.show_message, "small"):
            text("Message behind it")
            text("m", "key", tag="kbd", aria_hidden="true")
        self._message = box("stack message")

    async def _draw_chart(self, entry: view.Entry, place: Tag) -> None:
        try:
            shown = await self._context.workers.run(data.around, self._context.paths, self._context.live, entry)
        except Exception as error:  # noqa: BLE001 -- said where the chart would be
            shown, told = data.Around([], []), words_of(error)
        else:
            told = "No readings of that time are at hand."
        if self._entry is not entry:
            return
        place.clear()
        with place:
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


def _head(entry: view.Entry) -> None:
    with box("card-head"):
        with box("row"):
            text(entry.severity.value, f"pill severity-pill-{entry.severity}")
            links.device_link(entry.device_id, metric=entry.metric, unit=entry.unit, range="6h").classes("card-title")
            text(entry.metric, "muted device-name")
            if entry.type is not None:
                text(entry.type.value, "pill")
        if not entry.published:
            text("seen live, not published yet", "pill")
        elif facts.going_on(entry):
            text("going on", "pill pill-accent")
