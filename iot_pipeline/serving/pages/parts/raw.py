"""The raw message behind a reading, in a panel: topic, when it came, its payload as text."""

from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.serving.messages import raw_message
from iot_pipeline.serving.pages import message_view
from iot_pipeline.serving.pages.parts import states
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import words_of
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count


async def show_message(place: Tag, paths: DataPaths, workers: Workers, message_id: str) -> None:
    """Fill `place` with the message of that id, or with why it cannot be shown."""
    place.clear()
    with place:
        states.loading("Looking for the message…")
    try:
        found = await workers.run(raw_message, paths, message_id)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is said in its place
        told = words_of(error)
        found = None
    else:
        told = "" if found else "There is no such message in landing."
    place.clear()
    with place:
        if found is None:
            states.problem(told)
            return
        with box("facts", tag="dl"):
            _fact("Message", found.message_id, "mono")
            _fact("Topic", found.topic, "mono")
            with box("fact-row"):
                text("Received", tag="dt")
                with box("", tag="dd"):
                    instant(found.received_at, "full")
            _fact("Source", found.source)
        shown = message_view.payload_text(found.topic, found.payload, found.payload_size)
        with box("row spread card-sub"):
            text(f"Payload, {format_count(found.payload_size)} bytes, as {shown.kind}")
            text(shown.note)
        text(shown.text, "payload mono", tag="pre", tabindex=0)


def _fact(name: str, value: str, classes: str = "") -> None:
    with box("fact-row"):
        text(name, tag="dt")
        text(value, classes, tag="dd")
