"""The typed shape of JSON objects of which some keys are read: what msgspec decodes without any tolerance.

What the keys mean is decided in `bulk.py`. A document that does not fit its shape is refused as a
whole; it may still be a good message, which is told by the way over plain values.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

import msgspec

from iot_pipeline.readings.language.fields import Json

NOT_THERE = float("nan")  # of a number that is missing: JSON has no NaN, so nothing that is told is mistaken for it
MOST_EXTRA = 256  # keys of one shape that nobody reads
_LARGEST = 1 << 62
_UNNAMEABLE = frozenset('"\\')


class Unsuited(Exception):  # no error: there is another way
    """Something that shapes and plans do not know."""


class Kind(Enum):
    """Types of what is read, with the value of what is missing; `...` makes a key necessary."""

    NAME = (str, ...)
    TEXT = (str | None, None)
    ANYTHING = (Any, None)
    NUMBER = (float | None, NOT_THERE)
    INTEGER = (Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)], ...)
    INTEGER_OR_NAME = (Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)] | str, ...)


_TEXTS = (Kind.NAME, Kind.TEXT, Kind.ANYTHING)  # the stricter one counts where one field is used twice


@dataclass(slots=True)
class Shape:
    """An object of the messages: keys that are read, objects within it, and keys that nobody reads.

    A shape with an `element` is not an object but an array of such elements.
    """

    element: "Shape | None" = None
    leaves: dict[str, tuple[str, Kind]] = field(default_factory=dict)  # key -> attribute of what is decoded, kind
    inner: "dict[str, tuple[str, Shape]]" = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)

    def leaf(self, keys: tuple[str, ...], kind: Kind) -> str:
        """Read what is at `keys`; gives the dotted attribute that will hold it. Raises Unsuited."""
        parent, attributes = self._descend(keys[:-1])
        if keys[-1] in parent.leaves:
            attribute, known = parent.leaves[keys[-1]]
            if known is not kind and (known not in _TEXTS or kind not in _TEXTS):
                raise Unsuited
            kind = kind if known is kind else min(known, kind, key=_TEXTS.index)
        else:
            attribute = parent.new_attribute(keys[-1])
        parent.leaves[keys[-1]] = attribute, kind
        return ".".join([*attributes, attribute])

    def array(self, keys: tuple[str, ...], element: "Shape") -> str:
        """Say that there is an array of `element` at `keys`; gives the attribute as `leaf` does."""
        parent, attributes = self._descend(keys[:-1])
        attribute = parent.new_attribute(keys[-1])
        parent.inner[keys[-1]] = attribute, Shape(element)
        return ".".join([*attributes, attribute])

    def type(self) -> Any:
        """What msgspec decodes."""
        if self.element is not None:
            return list[self.element.type()]  # type: ignore[misc]
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for attribute, kind in self.leaves.values():
            told, missing = kind.value
            fields.append((attribute, told) if missing is ... else (attribute, told, missing))
        fields += [(attribute, inner.type()) for attribute, inner in self.inner.values()]
        # What nobody reads is decoded too: a number that no double holds or a text that is no UTF-8 makes the
        # whole message unreadable, and msgspec does not notice either in what it skips.
        fields += [(f"x{number}", Any, None) for number in range(len(self.extra))]
        keys = {attribute: key for key, (attribute, _) in [*self.leaves.items(), *self.inner.items()]}
        keys |= {f"x{number}": key for number, key in enumerate(self.extra)}
        return msgspec.defstruct("Object", fields, rename=keys, kw_only=True, forbid_unknown_fields=True, gc=False)

    def learn(self, document: Json, room: int) -> int:
        """Note at most `room` keys of a document that nobody reads; gives how many were new."""
        if self.element is not None:
            noted = 0
            for inner_document in document if isinstance(document, list) else ():
                noted += self.element.learn(inner_document, room - noted)
            return noted
        if not isinstance(document, dict):
            return 0
        noted = 0
        for key, value in document.items():
            if key in self.inner:
                noted += self.inner[key][1].learn(value, room - noted)
            elif key not in self.leaves and key not in self.extra and noted < room and _nameable(key):
                self.extra.append(key)
                noted += 1
        return noted

    def _descend(self, keys: tuple[str, ...]) -> "tuple[Shape, list[str]]":
        here, attributes = self, []
        for key in keys:
            if key not in here.inner:
                here.inner[key] = here.new_attribute(key), Shape()
            attribute, here = here.inner[key]
            attributes.append(attribute)
            if here.element is not None:
                raise Unsuited
        return here, attributes

    def new_attribute(self, key: str) -> str:
        """A name for what is at `key`, which cannot be a leaf and an object at once. Raises Unsuited."""
        if key in self.inner or key in self.leaves or not _nameable(key):
            raise Unsuited
        return f"f{len(self.leaves) + len(self.inner)}"


def _nameable(key: str) -> bool:
    # msgspec refuses these in the names of fields.
    return not any(character in _UNNAMEABLE or character < " " for character in key)
