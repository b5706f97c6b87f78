"""Paths into a decoded message: `temperature`, `payload.data.t`, `rxInfo[0].rssi`, `['a.b'].c`.

`.` is the record itself; a leading `$.` starts at the root of the message and `^.` at the record
around this one (`^^.` two levels out). `[-1]` is the last element, `[name='x']` the first element
whose field says so, `a|b` the first of two that is there. A path that leads nowhere gives MISSING,
which is not the same as null.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Missing = msgspec.UnsetType
MISSING: Final = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Level:
    """Where a record of nested arrays is: its key there, and the record around it with its own level."""

    key: str | int | None
    around: Json
    outer: "Level | None"


# Of a record of `each`: its key or index; with several levels, all of them.
Key: TypeAlias = str | int | Level | None
# (record, root of the message, key of the record) -> what is there
Getter = Callable[[Json, Json, Key], Json | Missing]


@dataclass(frozen=True, slots=True)
class Where:
    """A step to the first element of an array whose field `name` is the text `value`."""

    name: str
    value: str


_STEP = re.compile(
    r"\.?([^.\[\]|]+)"
    r"|\[(-?\d+)\]"
    r"|\['([^']*)'\]"
    r"|\[([^\[\]='\"|]+)=(?:'([^']*)'|([^\[\]'|]+))\]"
)
_START = re.compile(r"\$(?=[.\[|]|$)|\^+(?=[.\[|]|$)")


@dataclass(frozen=True, slots=True)
class Path:
    """Steps into objects (str) and arrays (int, Where); `up` levels out, or from the root.

    A path of alternatives has no steps of its own: the first of `choices` that is there counts.
    """

    steps: tuple[str | int | Where, ...]
    from_root: bool
    up: int = 0
    choices: "tuple[Path, ...]" = ()

    @property
    def dotted(self) -> str:
        """The steps as the walker over leaves names them."""
        return self.choices[0].dotted if self.choices else dotted(self.steps)

    @property
    def alternatives(self) -> "tuple[Path, ...]":
        """The paths that are tried, one after the other."""
        return self.choices or (self,)


def dotted(steps: tuple[str | int | Where, ...]) -> str:
    """Name of a path: keys joined with dots, array positions in brackets."""
    text = ""
    for step in steps:
        if isinstance(step, Where):
            text += f"[{step.name}={step.value}]"
        else:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse_path(text: str) -> Path:
    """Read a path. Raises ValueError with the part that cannot be read."""
    found, position = _parse_one(text, 0)
    choices = [found]
    while position < len(text):
        found, position = _parse_one(text, position + 1)
        choices.append(found)
    return choices[0] if len(choices) == 1 else Path((), from_root=False, choices=tuple(choices))


def _parse_one(text: str, position: int) -> tuple[Path, int]:
    """One path of `a|b`, up to its end or its `|`."""
    start = _START.match(text, position)
    from_root = start is not None and start[0] == "$"
    up = 0 if start is None or from_root else len(start[0])
    first = position
    position = position if start is None else start.end()
    if text[position : position + 1] in ("", "|") or text[position : position + 2] in (".", ".|"):
        dot = text[position : position + 1] == "."
        if start is None and not dot:
            raise ValueError("a path cannot be empty; `.` is the record itself")
        return Path((), from_root, up), position + dot
    steps: list[str | int | Where] = []
    while position < len(text) and text[position] != "|":
        found = _STEP.match(text, position)
        if found is None:
            raise ValueError(
                f"path {text[first:]!r}: cannot read {text[position:]!r}; "
                "write a.b, a[0], a[-1], ['a.b'] or a[name='x']"
            )
        steps.append(_step(found))
        position = found.end()
    return Path(tuple(steps), from_root, up), position


def _step(found: re.Match[str]) -> str | int | Where:
    if found[1] is not None:
        return found[1]
    if found[2] is not None:
        return int(found[2])
    if found[3] is not None:
        return found[3]
    return Where(found[4], found[5] if found[5] is not None else found[6])


def compile_path(path: Path) -> Getter:
    """A function that follows `path`; MISSING where it leads nowhere."""
    if path.choices:
        return first_of([compile_path(choice) for choice in path.choices])
    steps, from_root, up = path.steps, path.from_root, path.up
    if len(steps) == 1 and isinstance(steps[0], str) and not from_root and not up:
        only = steps[0]
        return lambda record, _root, _key: record.get(only, MISSING) if type(record) is dict else MISSING
    if up:
        return lambda _record, root, key: _follow(_around(root, key, up), steps)

    def follow(record: Json, root: Json, _key: Key) -> Json | Missing:
        return _follow(root if from_root else record, steps)

    return follow


def first_of(choices: list[Getter]) -> Getter:
    """The first of several that is there and neither null nor an empty text; null when one was."""

    def first(record: Json, root: Json, key: Key) -> Json | Missing:
        null = False
        for choice in choices:
            value = choice(record, root, key)
            if value is not MISSING and value is not None and value != "":
                return value
            null = null or value is None
        return None if null else MISSING

    return first


def _around(root: Json, key: Key, up: int) -> Json | Missing:
    """The record `up` levels out. Around the records of a single `each` is the message."""
    if not isinstance(key, Level):
        return root if up == 1 else MISSING
    level: Level | None = key
    for _ in range(up - 1):
        level = None if level is None else level.outer
    return MISSING if level is None else level.around


def outer_key(key: Key, up: int) -> str | int | Missing:
    """The key of the record itself (0) or of one around it; MISSING when there is none."""
    if not isinstance(key, Level):
        return MISSING if key is None or up else key
    level: Level | None = key
    for _ in range(up):
        level = None if level is None else level.outer
    return MISSING if level is None or level.key is None else level.key


def _follow(here: Json | Missing, steps: tuple[str | int | Where, ...]) -> Json | Missing:
    for step in steps:
        if type(here) is dict and isinstance(step, str):
            here = here.get(step, MISSING)
        elif type(here) is list and isinstance(step, int) and -len(here) <= step < len(here):
            here = here[step]
        elif type(here) is list and isinstance(step, Where):
            here = _element(here, step)
        else:
            return MISSING
    return here


def _element(elements: list[Json], where: Where) -> Json | Missing:
    for element in elements:
        if type(element) is dict and scalar_text(element.get(where.name)) == where.value:
            return element
    return MISSING


def scalar_text(value: Json | Missing) -> str | None:
    """A text or an integer as text; None for everything that names nothing."""
    if type(value) is str:
        return value or None
    return str(value) if type(value) is int else None
