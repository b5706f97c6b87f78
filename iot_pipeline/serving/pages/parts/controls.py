"""Things to choose with: a row of choices, a list, a text. They say what was chosen; nothing more."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from nicegui.events import GenericEventArguments

from iot_pipeline.serving.pages.parts.markup import Tag, box, text

Chosen = Callable[[str], Awaitable[None] | None]
VALUE = "(event) => emit(event.target.value)"
LONGEST_TEXT = 1_024


class Segments:
    """A few choices beside each other, of which `chosen` is pressed."""

    def __init__(
        self, choices: Mapping[str, str], chosen: str, on_choose: Callable[[str], None], *, label: str
    ) -> None:
        self.chosen = chosen
        self._on_choose, self._buttons = on_choose, {}
        with box("segments", role="group", aria_label=label):
            for key, words in choices.items():
                button = Tag("button", words, "segment", type="button", aria_pressed=str(key == chosen).lower())
                button.on("click", lambda _, key=key: self.choose(key))
                self._buttons[key] = button

    def choose(self, key: str) -> None:
        """Press one; it is told as if somebody had."""
        self.chosen = key
        for name, button in self._buttons.items():
            button.set(aria_pressed=str(name == key).lower())
        self._on_choose(key)


def choice(label: str, choices: Sequence[tuple[str, str]], chosen: str, on_choose: Chosen, classes: str = "") -> Tag:
    """A native list: (value, words). A value that is not among them is not told."""
    values = {value for value, _ in choices}
    with box(f"field {classes}", tag="label"):
        text(label)
        with Tag("select", "") as field:
            for value, words in choices:
                option = Tag("option", words, value=value)
                if value == chosen:
                    option.set(selected="selected")

    async def changed(event: GenericEventArguments) -> None:
        done = on_choose(str(event.args)) if event.args in values else None
        if done is not None:
            await done

    field.on("change", changed, js_handler=VALUE)
    return field


def text_field(
    label: str, value: str, on_change: Callable[[str], None], *, placeholder: str = "", classes: str = ""
) -> Tag:
    """A line of text; told shortly after the last key."""
    with box(f"field {classes}", tag="label"):
        text(label)
        # With `value`, each update of whatever else is on the page would put back what the field held at first.
        field = Tag("input", type="text", defaultValue=value, placeholder=placeholder, maxlength=LONGEST_TEXT)

    def told(event: GenericEventArguments) -> None:
        on_change(str(event.args)[:LONGEST_TEXT])

    field.on("input", told, throttle=0.3, leading_events=False, js_handler=VALUE)
    # Whoever leaves the field is done: what comes next must already know it.
    field.on("change", told, js_handler=VALUE)
    return field


def button(words: str, on_click: Callable[[], object], classes: str = "", **attributes: str | int | bool) -> Tag:
    """A button."""
    made = Tag("button", words, f"button {classes}", type="button", **attributes)
    made.on("click", lambda _: on_click())
    return made
