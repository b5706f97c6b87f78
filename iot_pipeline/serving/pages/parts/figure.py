"""A large figure with its unit as an element. How it is written is `wording.py`."""

from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_number


def figure(value: str | float | None, unit: str | None = None, label: str = "", hint: str = "") -> Tag:
    """A large figure over its label; `hint` is told on hover and to screen readers."""
    with box("figure") as whole:
        if label:
            text(label, "figure-label")
        with box("figure-value"):
            shown = value if isinstance(value, str) else format_number(value)
            text(shown, "figure-number num")
            if unit and shown != NO_VALUE:
                text(unit, "figure-unit")
    if hint:
        whole.set(title=hint)
    return whole
