"""What a page shows where it has nothing to show: empty, not possible at the moment, still loading."""

from iot_pipeline.serving.pages.parts.markup import Tag, box, text


def empty(message: str, hint: str = "") -> Tag:
    """There is nothing, and that is no error; `hint` says what would change it."""
    with box("state") as whole:
        text(message, "state-text", tag="p")
        if hint:
            text(hint, "muted", tag="p")
    return whole


def problem(message: str, next_step: str = "") -> Tag:
    """Something is not possible at the moment: what, and what happens or has to be done next."""
    with box("state state-problem", role="status") as whole:
        text(message, "state-text", tag="p")
        if next_step:
            text(next_step, "muted", tag="p")
    return whole


def loading(message: str = "Loading…") -> Tag:
    """It is being fetched."""
    with box("state state-loading", role="status") as whole:
        text(message, "muted", tag="p")
    return whole
