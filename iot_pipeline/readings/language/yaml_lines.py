"""YAML with its line numbers, for messages about files that people wrote. What a file means is elsewhere.

Stricter than YAML itself: a key that stands twice in one place is an error, not the last one's.
"""

from dataclasses import dataclass, field

import yaml

Location = tuple[int | str, ...]


class YamlProblem(ValueError):
    """A text that cannot be used, with the line where that shows (from 1)."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a YAML text says, and on which line it says it."""

    content: object
    _lines: dict[Location, int] = field(default_factory=dict)

    def find(self, location: Location) -> tuple[Location, int]:
        """The innermost part of a location that the text has, and its line.

        Steps that are not in the text, such as the names of alternatives in a check, are passed over.
        """
        found: Location = ()
        for step in location:
            if (*found, step) in self._lines:
                found = (*found, step)
        return found, self._lines.get(found, 1)


def read_yaml(text: str) -> YamlFile:
    """Read a text. Raises YamlProblem."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Location, int] = {}
        if node is not None:
            _note(node, (), lines, frozenset())
        content: object = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlProblem(1 if mark is None else mark.line + 1, f"not YAML: {problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, YamlProblem):
            raise
        raise YamlProblem(1, f"not YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()
    return YamlFile(content, lines)


def _note(node: yaml.Node, location: Location, lines: dict[Location, int], above: frozenset[int]) -> None:
    if id(node) in above:
        raise YamlProblem(node.start_mark.line + 1, "not YAML: an alias of something around itself")
    lines.setdefault(location, node.start_mark.line + 1)
    inside = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            _note(inner, (*location, index), lines, inside)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem(key.start_mark.line + 1, "not YAML: a key must be a text")
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen and name != "<<":
                raise YamlProblem(line, f"{name}: stands on line {seen[name]} already")
            seen[name] = line
            lines[*location, name] = line
            _note(inner, (*location, name), lines, inside)
