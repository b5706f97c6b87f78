"""Templates: texts put together from captures of the topic and fields of the message.

`{name}` is a capture or else a path; `{key}` and `{index}` belong to `each`, `{^key}` to the level
around it; `{a|b}` takes the first that is there; `[/{channel}]` is left out when a field in it is
missing; doubled `{{`, `}}`, `[[`, `]]` are plain characters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from iot_pipeline.readings.language.fields import (
    MISSING,
    Getter,
    Json,
    Key,
    Missing,
    compile_path,
    first_of,
    outer_key,
    parse_path,
    scalar_text,
)

# A capture of the topic is a constant; one of a field of the record (`split`) is a function.
Known = Mapping[str, "str | Getter"]

_PART = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{([^{}]*)\}|[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Field:
    """`{a|b}`: the alternatives as they are written."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`[...]`: parts that appear together or not at all."""

    parts: "tuple[str | Field, ...]"


Parts = tuple[str | Field | Group, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was checked; `bind` it to the captures of a topic to use it."""

    text: str
    parts: Parts

    @property
    def fields(self) -> list[Field]:
        """All fields, optional ones too."""
        flat = [part for part in self.parts if not isinstance(part, Group)]
        nested = [inner for part in self.parts if isinstance(part, Group) for inner in part.parts]
        return [part for part in [*flat, *nested] if isinstance(part, Field)]

    @property
    def names(self) -> set[str]:
        """All names in fields."""
        return {name for field in self.fields for name in field.names}

    @property
    def only_field(self) -> Field | None:
        """The field when the template is nothing else, so that its value keeps its type."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Field) else None


def parse_template(text: str) -> Template:
    """Read a template. Raises ValueError, in words for users."""
    outer: list[str | Field | Group] = []
    inner: list[str | Field] | None = None
    position = 0
    for found in _PART.finditer(text):
        target: list[str | Field | Group] | list[str | Field] = outer if inner is None else inner
        if found.start() > position:
            target.append(text[position : found.start()])
        position = found.end()
        token = found[0]
        if token in ("{{", "}}", "[[", "]]"):
            target.append(token[0])
        elif found[1] is not None:
            target.append(_parse_field(text, found[1]))
        elif token == "[" and inner is None:  # noqa: S105  # no password, a bracket
            inner = []
        elif token == "]" and inner is not None:  # noqa: S105
            outer.append(Group(tuple(inner)))
            inner = None
        else:
            raise ValueError(f"template {text!r}: unexpected {token!r}; double it to mean the character")
    if inner is not None:
        raise ValueError(f"template {text!r}: `[` is not closed")
    if position < len(text):
        outer.append(text[position:])
    return Template(text, tuple(outer))


def _parse_field(text: str, inside: str) -> Field:
    names = tuple(name.strip() for name in inside.split("|"))
    if not all(names):
        raise ValueError(f"template {text!r}: a field {{...}} needs a name")
    return Field(names)


def field_getter(field: Field, known: Known) -> Getter | str:
    """What a field gives for a topic with these captures: a constant, or a function of the record."""
    if field.names[0] in known:
        return known[field.names[0]]
    choices = [_name_getter(name, known) for name in field.names]
    return choices[0] if len(choices) == 1 else first_of(choices)


def _name_getter(name: str, known: Known) -> Getter:
    if name in known:
        constant = known[name]
        return constant if callable(constant) else lambda _record, _root, _key: constant
    if is_key(name):
        up = name.count("^")
        return lambda _record, _root, key: outer_key(key, up)
    return compile_path(parse_path(name))


def is_key(name: str) -> bool:
    """Whether a name in a template is the key of a record, or of one around it, and no path."""
    return name.lstrip("^") in ("key", "index")


def bind(template: Template, known: Known) -> Getter | str | None:
    """The template for a topic with these captures: a constant text, or a function giving text or MISSING.

    None when a part can never be there. Only texts and integers become part of a text.
    """
    getters: list[tuple[str | Getter, bool]] = []
    for part in template.parts:
        for inner in part.parts if isinstance(part, Group) else (part,):
            value = field_getter(inner, known) if isinstance(inner, Field) else inner
            getters.append((value, isinstance(part, Group)))
    if all(isinstance(value, str) for value, _ in getters):
        return "".join(value for value, _ in getters if isinstance(value, str)) or None
    if len(getters) == 1 and not getters[0][1] and callable(getters[0][0]):
        return _key_text(template, known) or _as_text(getters[0][0])
    return _joined([_bound_part(part, known) for part in template.parts])


def plain_key(template: Template, known: Known) -> str | None:
    """The key, when a template is nothing but one key of the record; None for all others."""
    field = template.only_field
    if field is None or len(field.names) > 1 or field.names[0] in known or is_key(field.names[0]):
        return None
    path = parse_path(field.names[0])
    step = path.steps[0] if len(path.steps) == 1 and not path.from_root and not path.up else None
    return step if isinstance(step, str) else None


def _key_text(template: Template, known: Known) -> Getter | None:
    """A template that is one key of the record, without a detour: most device ids are."""
    only = plain_key(template, known)
    if only is None:
        return None

    def text(record: Json, _root: Json, _key: Key) -> str | Missing:
        value = record.get(only) if type(record) is dict else None
        return value if type(value) is str and value else scalar_text(value) or MISSING

    return text


def _as_text(getter: Getter) -> Getter:
    def text(record: Json, root: Json, key: Key) -> str | Missing:
        value = getter(record, root, key)
        return value if type(value) is str and value else scalar_text(value) or MISSING

    return text


def _bound_part(part: str | Field | Group, known: Known) -> str | Getter:
    if isinstance(part, str):
        return part
    if isinstance(part, Field):
        value = field_getter(part, known)
        return value if isinstance(value, str) else _as_text(value)
    group = _joined([_bound_part(inner, known) for inner in part.parts])

    def optional(record: Json, root: Json, key: Key) -> str:
        value = group(record, root, key)
        return value if isinstance(value, str) else ""

    return optional


def _joined(parts: list[str | Getter]) -> Getter:
    def join(record: Json, root: Json, key: Key) -> str | Missing:
        text = ""
        for part in parts:
            value = part if isinstance(part, str) else part(record, root, key)
            if not isinstance(value, str):
                return MISSING
            text += value
        return text or MISSING

    return join
