"""Elements with text and attributes that may come from outside: always data, never HTML, templates or scripts.

NiceGUI parses `.props("...")` strings and evaluates props whose name begins with a colon; here values are set as
they are and names are ours.
"""

from typing import Self

from nicegui.elements.mixins.text_element import TextElement


class Tag(TextElement):
    """An HTML element: `Tag("span", text, "css classes", title=name)`. A trailing `_` of an attribute is dropped."""

    def __init__(self, tag: str, text: str = "", classes: str = "", **attributes: str | int | bool) -> None:
        super().__init__(tag=tag, text=text)
        if classes:
            self.classes(classes)
        self.set(**attributes)

    def set(self, **attributes: str | int | bool | None) -> Self:
        """Set attributes; None removes one. `aria_label` becomes `aria-label`."""
        for name, value in attributes.items():
            key = name.rstrip("_").replace("_", "-")
            if value is None:
                self.props.pop(key, None)
            else:
                self.props[key] = value
        self.update()
        return self


def box(classes: str = "", *, tag: str = "div", **attributes: str | int | bool) -> Tag:
    """Make an element that holds others, for a with-block."""
    return Tag(tag, "", classes, **attributes)


def text(value: str, classes: str = "", *, tag: str = "span", **attributes: str | int | bool) -> Tag:
    """A text, literally."""
    return Tag(tag, value, classes, **attributes)


def anchor(label: str, url: str, classes: str = "", **attributes: str | int | bool) -> Tag:
    """A link; `url` is made with `links`, never taken from outside as a whole."""
    return Tag("a", label, classes, href=url, **attributes)
