"""Saying what an entry of the inbox was: who says it, the note, the buttons, and the record."""

from collections.abc import Callable, Sequence
from functools import partial

from iot_pipeline.anomalies.feedback import FeedbackLabel, record_all
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.inbox import data, view
from iot_pipeline.serving.pages.parts.browser import tell
from iot_pipeline.serving.pages.parts.controls import button, text_field
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.wording import format_count

LONGEST_NOTE, LONGEST_AUTHOR = 1_000, 100
LABELS = (
    (FeedbackLabel.acknowledged, "Acknowledge", "a"),
    (FeedbackLabel.confirmed, "Confirmed", "c"),
    (FeedbackLabel.false_alarm, "False alarm", "f"),
    (FeedbackLabel.known_cause, "Known cause", "n"),
)
"""What can be said: label, words, key."""


class Judgement:
    """What one viewer says: `rights` tells whether anything may be said, and whose name it is said under."""

    def __init__(self, context: shell.PageContext, rights: data.Rights) -> None:
        self._context, self._rights = context, rights
        self._author = rights.author or ""
        self._note = ""

    def draw(self, say: Callable[[FeedbackLabel], object]) -> None:
        """Fields and buttons; nothing for somebody who may not say anything."""
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
                for label, words, key in LABELS:
                    with button("", partial(say, label)):
                        text(words)
                        text(key, "key", tag="kbd", aria_hidden="true")

    async def record(self, label: FeedbackLabel, entries: Sequence[view.Entry]) -> bool:
        """Record it of `entries`, if there are any and somebody says so; returns whether it was.

        Raises:
            StorageUnavailable: nothing is recorded.
        """
        if not self._author:
            tell("Say who you are first: your name stands beside what you say.")
            return False
        if not entries:
            return False
        flags = [key for entry in entries for key in entry.keys]
        await self._context.workers.run(
            record_all, self._context.paths, flags, label, author=self._author, note=self._note
        )
        self._note = ""
        tell(f"{view.label_text(label).capitalize()}: {format_count(len(entries))}")
        return True

    def _set_author(self, author: str) -> None:
        self._author = author.strip()[:LONGEST_AUTHOR]

    def _set_note(self, note: str) -> None:
        self._note = note.strip()[:LONGEST_NOTE]
