"""Changing what is shown in its place: nothing is sent for what is as it was, and nothing is built anew.

For parts of a page that follow live figures. What they show is decided elsewhere.
"""

from datetime import UTC, datetime

from iot_pipeline.serving.pages.parts.markup import Tag
from iot_pipeline.serving.pages.parts.times import Form, instant, utc_text


def put(tag: Tag, text: str | None = None, **attributes: str | int | bool | None) -> None:
    """Show another text and other attributes (None removes one), named as `Tag` names them."""
    if text is not None:
        tag.text = text
    held = tag.props
    changed = {
        name: value for name, value in attributes.items() if held.get(name.rstrip("_").replace("_", "-")) != value
    }
    if changed:
        tag.set(**changed)


def put_class(tag: Tag, prefix: str, name: str) -> None:
    """Let the class `prefix` + `name` be the only one that begins with `prefix`."""
    wanted = prefix + name
    held = [each for each in tag.classes if each.startswith(prefix)]
    if held != [wanted]:
        tag.classes(add=wanted, remove=" ".join(each for each in held if each != wanted))


def show_if(tag: Tag, shown: bool) -> None:  # noqa: FBT001 -- what it is about is its name
    """Show or hide an element."""
    if ("hidden" in tag.classes) is shown:
        tag.classes(remove="hidden") if shown else tag.classes(add="hidden")


class Clock:
    """An instant in the viewer's zone that can be set anew, or be none."""

    def __init__(self, ts: datetime | None = None, form: Form = "full", *, none: str = "never") -> None:
        self._none = none
        self._tag = instant(ts or datetime(1970, 1, 1, tzinfo=UTC), form)
        self._missing = Tag("span", none, "muted")
        self.show(ts)

    def show(self, ts: datetime | None, *, form: Form | None = None) -> None:
        """Show another instant."""
        show_if(self._tag, ts is not None)
        show_if(self._missing, ts is None)
        if ts is not None:
            put(self._tag, datetime=ts.astimezone(UTC).isoformat(), title=utc_text(ts))
        if form is not None:
            put(self._tag, form=form)
