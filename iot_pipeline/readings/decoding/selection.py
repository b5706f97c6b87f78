"""Which records a document holds: elements of arrays within arrays, rows of columns, objects below.

Pure: a document in, places of records out. What is read of a record is in `records.py`.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from iot_pipeline.readings.decoding.leaves import DEEPEST
from iot_pipeline.readings.language.fields import (
    MISSING,
    Getter,
    Json,
    Key,
    Level,
    Missing,
    Path,
    compile_path,
    parse_path,
    scalar_text,
)
from iot_pipeline.readings.language.formats import Reject, parse_json
from iot_pipeline.readings.language.model import Condition, Mapping
from iot_pipeline.readings.schema import QuarantineReason


class Place(NamedTuple):
    """A record, the message around it, its key in `each` and its name for people."""

    record: Json
    root: Json
    key: Key
    where: str | None


Records = Callable[[Json], Iterator[Place | Reject]]
Holds = Callable[[Json, Json, Key], bool]


def bind_records(mapping: Mapping) -> Records:
    """A function that gives the records of a document, and what of it is built otherwise."""
    path = mapping.each
    if mapping.then_each or mapping.deep or mapping.columns is not None or mapping.names is not None:
        return _Nested(mapping)
    optional = mapping.each_optional
    each = None if path is None else compile_path(parse_path(path))

    def records(document: Json) -> Iterator[Place | Reject]:
        if each is None:
            if type(document) is not list:
                yield Place(document, document, None, None)
                return
            found: Json | Missing = document
        else:
            found = each(document, document, None)
        if isinstance(found, list):
            for index, record in enumerate(found):
                yield Place(record, document, index, f"{path or ''}[{index}]")
        elif isinstance(found, dict):
            for key, record in found.items():
                yield Place(record, document, key, f"{path}.{key}")
        elif found is not None and not (optional and found is MISSING):
            raise Reject(QuarantineReason.WRONG_SHAPE, f"no array or object at {path!r}")

    return records


class _Nested:
    """Records several levels down, or put together from columns or names."""

    def __init__(self, mapping: Mapping) -> None:
        paths = ([] if mapping.each is None else [mapping.each]) + list(mapping.then_each)
        self._levels = [(path, compile_path(parse_path(path))) for path in paths]
        self._optional = mapping.each_optional
        self._deep = mapping.deep
        self._columns = None if mapping.columns is None else compile_path(parse_path(mapping.columns))
        self._columns_path = mapping.columns
        self._names = None if mapping.names is None else compile_path(parse_path(mapping.names))

    def __call__(self, document: Json) -> Iterator[Place | Reject]:
        start = Level(None, MISSING_AROUND, None)
        if not self._levels and type(document) is list:
            for index, record in enumerate(document):
                level = Level(index, document, None)
                yield from self._within(Place(record, document, level, f"[{index}]"), 0)
        else:
            yield from self._within(Place(document, document, start, None), 0)

    def _within(self, place: Place, depth: int) -> Iterator[Place | Reject]:
        if depth == len(self._levels):
            yield from self._finished(place)
            return
        record, root, key, where = place
        path, get = self._levels[depth]
        found = get(record, root, key)
        outer = key if isinstance(key, Level) else None
        name = path if where is None else f"{where}.{path}"
        if isinstance(found, list):
            for index, inner in enumerate(found):
                yield from self._within(Place(inner, root, Level(index, record, outer), f"{name}[{index}]"), depth + 1)
        elif isinstance(found, dict):
            for step, inner in found.items():
                yield from self._within(Place(inner, root, Level(step, record, outer), f"{name}.{step}"), depth + 1)
        elif found is not None and not (self._optional and found is MISSING):
            yield self._refused(place, f"no array or object at {path!r}")

    def _finished(self, place: Place) -> Iterator[Place | Reject]:
        if self._columns is not None:
            yield from self._rows(place, self._columns)
        elif self._names is not None:
            yield self._named(place, self._names)
        elif self._deep:
            yield from self._below(place, 0)
        else:
            yield place

    def _rows(self, place: Place, columns: Getter) -> Iterator[Place | Reject]:
        record, root, key, where = place
        found = columns(record, root, key)
        if not isinstance(found, dict):
            if found is not None and not (self._optional and found is MISSING):
                yield self._refused(place, f"no object of arrays at {self._columns_path!r}")
            return
        lengths = set(_lengths(found, 0))
        if len(lengths) > 1:
            yield self._refused(place, f"columns of different lengths: {', '.join(map(str, sorted(lengths)[:5]))}")
            return
        outer = key if isinstance(key, Level) else None
        for index in range(lengths.pop() if lengths else 0):
            name = f"[{index}]" if where is None else f"{where}[{index}]"
            yield Place(_row(found, index, 0), root, Level(index, record, outer), name)

    def _named(self, place: Place, names: Getter) -> Place | Reject:
        record, root, key, _ = place
        found = names(record, root, key)
        if not isinstance(record, list) or not isinstance(found, list) or len(found) != len(record):
            return self._refused(place, "the record is no array with a name for each element")
        keys = [scalar_text(name) or "" for name in found]
        return place._replace(record=dict(zip(keys, record, strict=True)))

    def _below(self, place: Place, depth: int) -> Iterator[Place | Reject]:
        record, root, key, where = place
        if not isinstance(record, dict):
            return
        if depth > DEEPEST:
            yield self._refused(place, f"nested deeper than {DEEPEST} levels")
            return
        yield place
        level = key if isinstance(key, Level) else None
        for step, inner in record.items():
            if isinstance(inner, dict):
                inner_key = step if level is None or level.key is None else f"{level.key}.{step}"
                name = step if where is None else f"{where}.{step}"
                around = Level(inner_key, record, level)
                yield from self._below(Place(inner, root, around, name), depth + 1)

    def _refused(self, place: Place, detail: str) -> Reject:
        where = "" if place.where is None else f"{place.where}: "
        return Reject(QuarantineReason.WRONG_SHAPE, where + detail)


MISSING_AROUND: Json = None  # nothing is around the message itself


def _lengths(columns: dict[str, Json], depth: int) -> Iterator[int]:
    for column in columns.values():
        if isinstance(column, list):
            yield len(column)
        elif isinstance(column, dict) and depth < DEEPEST:
            yield from _lengths(column, depth + 1)


def _row(columns: dict[str, Json], index: int, depth: int) -> dict[str, Json]:
    row: dict[str, Json] = {}
    for name, column in columns.items():
        if isinstance(column, list):
            row[name] = column[index]
        elif isinstance(column, dict) and depth < DEEPEST:
            row[name] = _row(column, index, depth + 1)
    return row


def bind_when(conditions: tuple[Condition, ...]) -> Holds | None:
    """Whether all conditions hold for a record; None when there are none."""
    checks = [_check(condition) for condition in conditions]
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]
    return lambda record, root, key: all(check(record, root, key) for check in checks)


def _check(condition: Condition) -> Holds:
    get = compile_path(parse_path(condition.path))
    exists, equals, differs = condition.exists, frozenset(condition.equals), frozenset(condition.differs)

    def holds(record: Json, root: Json, key: Key) -> bool:
        told = get(record, root, key)
        there = told is not MISSING and told is not None
        if exists is not None and there is not exists:
            return False
        text = _word(told)
        return (not equals or text in equals) and (not differs or text not in differs)

    return holds


def _word(told: Json | Missing) -> str | None:
    if type(told) is bool:
        return "true" if told else "false"
    if type(told) is float and told.is_integer():
        return str(int(told))
    return scalar_text(told)


def bind_unpack(packed: dict[str, Literal["json", "base64_json"]]) -> Callable[[Json], Json]:
    """A function that puts the JSON held by texts of a document in their place."""
    places = [(path, packing) for text, packing in packed.items() for path in parse_path(text).alternatives]

    def unpack(document: Json) -> Json:
        for path, packing in places:
            document = _unpacked(document, path, packing)
        return document

    return unpack


def _unpacked(document: Json, path: Path, packing: str) -> Json:
    found = compile_path(path)(document, document, None)
    if not isinstance(found, str):
        return document
    inner = _parse_text(found, packing, path.dotted or ".")
    if not path.steps:
        return inner
    around = compile_path(Path(path.steps[:-1], from_root=True))(document, document, None)
    last = path.steps[-1]
    fits = isinstance(last, str if isinstance(around, dict) else int)
    if fits and isinstance(around, dict | list):
        around[last] = inner  # type: ignore[index]
    return document


def _parse_text(text: str, packing: str, where: str) -> Json:
    try:
        return parse_json(base64.b64decode(text, validate=True) if packing == "base64_json" else text.encode())
    except ValueError as error:  # no base64, or half a surrogate pair
        raise Reject(QuarantineReason.BAD_ENCODING, f"{where}: {error}") from error
    except Reject as reject:
        raise Reject(reject.reason, f"{where}: {reject.detail}") from reject
