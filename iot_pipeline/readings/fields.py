"""Paths into a decoded message: `temperature`, `payload.data.t`, `rxInfo[0].rssi`, `['a.b'].c`.

`.` is the record itself; a leading `$.` starts at the root of the message instead of at the
record of `each`. A path that leads nowhere gives MISSING, which is not the same as null.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Missing = msgspec.UnsetType
MISSING: Final = msgspec.UNSET
# (record, root of the message, key or index of the record in `each`) -> what is there
Getter = Callable[[Json, Json, str | int | None], Json | Missing]

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]")


@dataclass(frozen=True, slots=True)
class Path:
    """Steps into nested objects (str) and arrays (int)."""

    steps: tuple[str | int, ...]
    from_root: bool

    @property
    def dotted(self) -> str:
        """The steps as the walker over leaves names them."""
        return dotted(self.steps)


def dotted(steps: tuple[str | int, ...]) -> str:
    """Name of a path: keys joined with dots, array positions in brackets."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse_path(text: str) -> Path:
    """Read a path. Raises ValueError with the part that cannot be read."""
    from_root = text == "$" or text.startswith(("$.", "$["))
    rest = text[1:] if from_root else text
    if rest in ("", "."):
        if not from_root and not rest:
            raise ValueError("a path cannot be empty; `.` is the record itself")
        return Path((), from_root)
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        found = _STEP.match(rest, position)
        if found is None:
            raise ValueError(f"path {text!r}: cannot read {rest[position:]!r}; write a.b, a[0] or ['a.b']")
        steps.append(int(found[2]) if found[2] is not None else found[1] if found[1] is not None else found[3])
        position = found.end()
    return Path(tuple(steps), from_root)


def compile_path(path: Path) -> Getter:
    """A function that follows `path`; MISSING where it leads nowhere."""
    steps, from_root = path.steps, path.from_root
    if len(steps) == 1 and isinstance(steps[0], str) and not from_root:
        only = steps[0]
        return lambda record, _root, _key: record.get(only, MISSING) if type(record) is dict else MISSING

    def follow(record: Json, root: Json, _key: str | int | None) -> Json | Missing:
        here = root if from_root else record
        for step in steps:
            if type(here) is dict and isinstance(step, str):
                found = here.get(step, MISSING)
                if found is MISSING:
                    return MISSING
                here = found
            elif type(here) is list and isinstance(step, int) and step < len(here):
                here = here[step]
            else:
                return MISSING
        return here

    return follow


def scalar_text(value: Json | Missing) -> str | None:
    """A text or an integer as text; None for everything that names nothing."""
    if type(value) is str:
        return value or None
    return str(value) if type(value) is int else None
