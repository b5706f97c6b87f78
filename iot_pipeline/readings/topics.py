"""Topic patterns of mappings: which topics they take and what they capture.

plant/{site}/{device}/json    {name} captures one level, or a part of one: `pump-{number}`
replay/{dataset}/{path...}    {name...} captures the rest, at least one level
tele/+/SENSOR, homie/#        MQTT's own wildcards match without capturing
"""

import re
from dataclasses import dataclass
from functools import cached_property

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
_STRAY = re.compile(r"[{}+#]")


@dataclass(frozen=True)
class TopicPattern:
    """A pattern that was checked. Raises ValueError, in words for users, when it cannot be one."""

    pattern: str

    def __post_init__(self) -> None:
        _ = self._regex

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        levels = self.pattern.split("/")
        if not self.pattern:
            raise ValueError("a topic pattern cannot be empty")
        expression = "".join(
            _level_expression(level, first=index == 0, last=index == len(levels) - 1)
            for index, level in enumerate(levels)
        )
        # Topics that start with $ are the broker's own; a wildcard must not take them by accident.
        guard = r"(?!\$)" if levels[0][:1] in ("+", "#", "{") else ""
        try:
            return re.compile(guard + expression, re.DOTALL)
        except re.error as error:
            raise ValueError(f"{self.pattern!r}: a capture name is used twice ({error})") from error

    @cached_property
    def captures(self) -> frozenset[str]:
        """Names of the captures."""
        return frozenset(self._regex.groupindex)

    def match(self, topic: str) -> dict[str, str] | None:
        """What the captures hold for `topic`, or None when it does not match."""
        found = self._regex.fullmatch(topic)
        return None if found is None else found.groupdict()


def _level_expression(level: str, *, first: bool, last: bool) -> str:
    separator = "" if first else "/"
    if level == "#":
        if not last:
            raise ValueError("`#` stands for the rest of a topic and must be its last level")
        return ".*" if first else "(?:/.*)?"
    if level == "+":
        return separator + "[^/]*"
    expression, position = separator, 0
    for found in _CAPTURE.finditer(level):
        if found[2] and not (last and found[0] == level):
            raise ValueError(f"`{found[0]}` captures the rest of a topic and must be its whole last level")
        inner = ".+" if found[2] else "[^/]+"
        expression += _literal(level[position : found.start()]) + f"(?P<{found[1]}>{inner})"
        position = found.end()
    return expression + _literal(level[position:])


def _literal(text: str) -> str:
    if _STRAY.search(text):
        raise ValueError(f"{text!r}: expected {{name}}, {{name...}}, `+` or `#` as a whole level, or plain text")
    return re.escape(text)
