"""What could not be read: reasons to choose from, the newest messages, and the commands that read them again."""

from collections.abc import Callable, Sequence

from iot_pipeline.serving import quality
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.tables import Cell, Column, table
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_count

Choose = Callable[[str | None], None]


def draw_quarantine(
    reasons: Sequence[quality.Reason], samples: Sequence[quality.Sample], *, chosen: str | None, choose: Choose
) -> None:
    """The reasons, with the newest messages of the one that is chosen.

    Args:
        reasons: most frequent first.
        samples: of the chosen reason; of all where none is.
        chosen: a reason; None: all.
        choose: told of another choice.
    """
    if not reasons:
        states.empty("Everything could be read.", "Messages that cannot be read would be here, with the reason.")
        return
    _draw_reasons(reasons, chosen, choose)
    shown = next((one for one in reasons if one.reason == chosen), None)
    with box("columns"):
        with box("span-7 stack samples"):
            title = "Newest" + (f" with reason {shown.reason}" if shown else "")
            text(title, "card-sub", tag="h3")
            for sample in samples:
                _draw_sample(sample)
        with box("span-5 stack"):
            text("What to do", "card-sub", tag="h3")
            for what, line in quality.commands(shown or reasons[0]):
                with box("command"):
                    text(what, "muted")
                    text(line, "mono payload", tag="code")
            text(
                "What is read after all moves to readings by itself; figures that depend on it are made again.",
                "muted",
                tag="p",
            )


def _draw_reasons(reasons: Sequence[quality.Reason], chosen: str | None, choose: Choose) -> None:
    columns = [
        Column("Reason"),
        Column("Mapping", hint="the mapping that tried to read it"),
        Column("Messages", numeric=True),
        Column("Fields or messages", numeric=True, hint="rows in quarantine: a message can have several"),
        Column(
            "Device unknown",
            numeric=True,
            hint="their topic does not tell whose they are",
        ),
        Column("Last seen"),
    ]

    def reason_cell(one: quality.Reason) -> Cell:
        def draw() -> None:
            pressed = one.reason == chosen
            made = Tag("button", one.reason, "link mono", type="button", aria_pressed=str(pressed).lower())
            made.on("click", lambda: choose(None if pressed else one.reason))

        return draw

    rows: list[list[Cell]] = [
        [
            reason_cell(one),
            one.mapping or "none matches",
            format_count(one.messages),
            format_count(one.rows),
            format_count(one.unattributed),
            lambda one=one: instant(one.last, "time"),  # type: ignore[misc]
        ]
        for one in reasons
    ]
    table(columns, rows, label="Reasons for quarantine")


def _draw_sample(sample: quality.Sample) -> None:
    with box("sample"):
        with box("row"):
            text(sample.reason, "pill pill-warn mono")
            instant(sample.received_at, "time")
            if sample.device_id is not None:
                links.device_link(sample.device_id)
        text(sample.topic, "mono sample-topic")
        text(f"{sample.field}: {sample.detail}" if sample.field else sample.detail, "muted")
        text(sample.payload, "mono payload", tag="pre")
        if sample.payload_size > quality.SAMPLE_BYTES:
            text(f"the first {quality.SAMPLE_BYTES} of {format_count(sample.payload_size)} bytes", "muted small")
