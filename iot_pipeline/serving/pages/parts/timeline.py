"""A strip of coloured stretches of time, one row for each thing that changes its state. Changed in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from iot_pipeline.serving.pages.parts.inplace import put
from iot_pipeline.serving.pages.parts.markup import Tag, box


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `begin` to `end` (UTC): a name, the class of its colour, and what is told on hover."""

    begin: datetime
    end: datetime
    classes: str
    told: str


class Strip:
    """One row."""

    def __init__(self, describe: Callable[[Sequence[Stretch]], str]) -> None:
        """`describe` tells the whole row in words, for screen readers."""
        self._describe = describe
        self._whole = box("timeline", role="img")
        self._parts: list[tuple[Tag, str, str]] = []

    def show(self, stretches: Sequence[Stretch], begin: datetime, end: datetime) -> None:
        """Show what lies between `begin` and `end`."""
        put(self._whole, aria_label=self._describe(stretches))
        length = (end - begin).total_seconds()
        with self._whole:
            while len(self._parts) < len(stretches):
                self._parts.append((box(), "", ""))
        for at, (part, style, classes) in enumerate(self._parts):
            if at >= len(stretches):
                told = (style, "hidden")
            else:
                one = stretches[at]
                left = 100 * (one.begin - begin).total_seconds() / length
                width = 100 * (one.end - one.begin).total_seconds() / length
                # Hundredths of a per cent: less is no pixel, and would be sent every second.
                told = (f"left: {left:.2f}%; width: {width:.2f}%", one.classes)
                put(part, title=one.told)
            if told[0] != style:
                part.style(replace=told[0])
            if told[1] != classes:
                part.classes(replace=told[1])
            self._parts[at] = (part, *told)
