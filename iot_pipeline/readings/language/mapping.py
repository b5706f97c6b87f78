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

from pydantic import BaseModel, ValidationError

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.language.model import Mapping
from iot_pipeline.readings.language.topics import TopicPattern
from iot_pipeline.readings.language.yaml_lines import Location, YamlFile, YamlProblem, read_yaml

BUILT_IN = Path(__file__).resolve().parents[2] / "mappings"
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
        """First 12 hex digits of the SHA-256 of the content; comments, order, layout and defaults do not count.

        So a key that the language gains does not change the version of a mapping that does not use it.
        """
        content = json.dumps(
            self.mapping.model_dump(mode="json", exclude_defaults=True), sort_keys=True, ensure_ascii=False
        )
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
        found = next((found for pattern in taken if (found := pattern.match(topic)) is not None), None)
        # What a mapping ignores is its own: nobody else is asked.
        return {} if found is None and self.ignores(topic) else found

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
        file = read_yaml(text)
    except YamlProblem as error:
        raise MappingError(f"{origin}:{error.line}: {error}") from error
    if not isinstance(file.content, dict):
        raise MappingError(f"{origin}:1: expected keys and values; valid keys are: {_keys(Mapping)}")
    try:
        return LoadedMapping(Mapping.model_validate({"name": default_name, **file.content}), origin)
    except ValidationError as error:
        problems = [dict(problem) for problem in error.errors(include_url=False)]
        told = [_describe(origin, file, problem) for problem in problems if not _other_form(problem, problems)]
        raise MappingError("\n".join(dict.fromkeys(told))) from error


def _keys(model: type[BaseModel]) -> str:
    own = [name for name in model.model_fields if name in model.__annotations__]
    return ", ".join([*own, *(name for name in model.model_fields if name not in own)])


def _other_form(problem: dict[str, object], problems: list[dict[str, object]]) -> bool:
    """Whether another problem of the same place says more.

    Where a text is possible too, only what is wrong in a table matters to somebody who wrote one; and
    a list is not empty because its elements are wrong.
    """
    if len(problems) == 1:
        return False
    table = problem["type"] == "string_type" and isinstance(problem.get("input"), dict)
    return table or (problem["type"] == "too_short" and bool(problem.get("input")))


def _describe(origin: str, file: YamlFile, problem: dict[str, object]) -> str:
    location: Location = problem["loc"] if isinstance(problem["loc"], tuple) else ()
    known, line = file.find(location)
    if problem["type"] in ("missing", "extra_forbidden") and location and known[-1:] != location[-1:]:
        known = (*known, location[-1])
    key = ".".join(str(part) for part in known) or "mapping"
    message = str(problem["msg"]).removeprefix("Value error, ")
    text = f"{origin}:{line}: {key}: {message}"
    if problem["type"] not in ("missing", "value_error"):
        text += f"; received {str(problem.get('input'))[:80]!r}"
    if "string" in str(problem["type"]) and isinstance(problem.get("input"), bool):
        text += " (YAML reads on, off, yes, no, true and false as a boolean: put quotes around it)"
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
