"""Mapping files: finding, reading and checking them. What they may say is in `model.py`.

iot_pipeline/mappings/*.yaml    built in
<IOT_MAPPINGS>/*.yaml           a user's own; they are asked first, in order of file name
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import get_args

import yaml
from pydantic import BaseModel, ValidationError

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.model import Mapping
from iot_pipeline.readings.topics import TopicPattern

BUILT_IN = Path(__file__).resolve().parent.parent / "mappings"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class LoadedMapping:
    """A checked mapping, where it came from and the version of its content."""

    mapping: Mapping
    origin: str

    @property
    def name(self) -> str:
        """Name of the mapping, unique in its set."""
        return self.mapping.name

    @cached_property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 of the content; comments, order and layout do not count."""
        content = json.dumps(self.mapping.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @cached_property
    def _patterns(self) -> tuple[list[TopicPattern], list[TopicPattern]]:
        taken = [TopicPattern(topic) for topic in self.mapping.topic]
        return taken, [TopicPattern(topic) for topic in self.mapping.exclude]

    @cached_property
    def _ignored(self) -> list[TopicPattern]:
        return [TopicPattern(topic) for topic in self.mapping.ignore]

    def match(self, topic: str) -> dict[str, str] | None:
        """Captures of `topic`, or None when this mapping does not take it."""
        taken, excluded = self._patterns
        if any(pattern.match(topic) is not None for pattern in excluded):
            return None
        return next((found for pattern in taken if (found := pattern.match(topic)) is not None), None)

    def ignores(self, topic: str) -> bool:
        """Whether messages of `topic` hold no readings, by rule."""
        return any(pattern.match(topic) is not None for pattern in self._ignored)


@dataclass(frozen=True, slots=True)
class MappingSet:
    """Mappings in the order in which they are asked; the first that matches a topic takes it."""

    mappings: tuple[LoadedMapping, ...]

    def __iter__(self) -> Iterator[LoadedMapping]:
        return iter(self.mappings)

    def find(self, topic: str) -> tuple[LoadedMapping, dict[str, str]] | None:
        """The mapping that takes `topic`, with the captures."""
        for mapping in self.mappings:
            captures = mapping.match(topic)
            if captures is not None:
                return mapping, captures
        return None

    @property
    def versions(self) -> dict[str, str]:
        """Version by name."""
        return {mapping.name: mapping.version for mapping in self.mappings}


def load_mappings(folder: Path | None) -> MappingSet:
    """The mappings of `folder` (if any), then the built-in ones.

    A mapping of the folder replaces the built-in one of the same name.

    Raises:
        MappingError: names the file, the key and the valid values.
    """
    if folder is not None and not folder.is_dir():
        raise MappingError(f"IOT_MAPPINGS: {folder} is no folder; make it or remove the setting")
    own = [load_mapping(path) for path in _files(folder)] if folder is not None else []
    names = {mapping.name for mapping in own}
    built_in = [mapping for mapping in map(load_mapping, _files(BUILT_IN)) if mapping.name not in names]
    return mapping_set([*own, *built_in])


def mapping_set(mappings: Iterable[LoadedMapping]) -> MappingSet:
    """A set of mappings. Raises MappingError when two have the same name."""
    known: dict[str, str] = {}
    ordered = tuple(mappings)
    for mapping in ordered:
        if mapping.name in known:
            raise MappingError(f"{mapping.origin}: name: {mapping.name!r} is the name of {known[mapping.name]} too")
        known[mapping.name] = mapping.origin
    return MappingSet(ordered)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def load_mapping(path: Path) -> LoadedMapping:
    """Read one file. Raises MappingError."""
    try:
        return parse_mapping(path.read_text(encoding="utf-8"), str(path), default_name=path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error


def parse_mapping(text: str, origin: str, *, default_name: str) -> LoadedMapping:
    """Check the text of a mapping file; `origin` names it in messages. Raises MappingError."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MappingError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise MappingError(f"{origin}: expected keys and values; valid keys are: {_keys(Mapping)}")
    try:
        return LoadedMapping(Mapping.model_validate({"name": default_name, **content}), origin)
    except ValidationError as error:
        problems = (_describe(origin, dict(problem)) for problem in error.errors(include_url=False))
        raise MappingError("\n".join(dict.fromkeys(problems))) from error


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _describe(origin: str, problem: dict[str, object]) -> str:
    location = problem["loc"] if isinstance(problem["loc"], tuple) else ()
    key = ".".join(str(part) for part in location) or "mapping"
    message = str(problem["msg"]).removeprefix("Value error, ")
    text = f"{origin}: {key}: {message}"
    if problem["type"] not in ("missing", "value_error"):
        text += f"; received {str(problem.get('input'))[:80]!r}"
    valid = _valid_values(location, str(problem["type"]))
    return f"{text}; valid {valid}" if valid else text


def _valid_values(location: tuple[object, ...], kind: str) -> str | None:
    """The choices at a location: keys where a key is unknown, values where a set is closed."""
    models: list[type[BaseModel]] = [Mapping]
    annotation: object = None
    for part in location:
        fields = next((model.model_fields for model in models if part in model.model_fields), None)
        if fields is None:
            continue
        annotation = fields[str(part)].annotation
        models = [inner for inner in _within(annotation) if issubclass(inner, BaseModel)] or models
    if kind == "extra_forbidden":
        return f"keys are: {_keys(models[0])}"
    choices = [choice for inner in _within(annotation) if issubclass(inner, Enum) for choice in inner]
    return f"values are: {', '.join(str(choice.value) for choice in choices)}" if choices and kind == "enum" else None


def _within(annotation: object) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [inner for argument in get_args(annotation) for inner in _within(argument)]
