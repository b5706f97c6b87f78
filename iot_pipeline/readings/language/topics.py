"""Patterns of mappings: which topics they take, how names are split, and what they capture.

plant/{site}/{device}/json    {name} captures one level, or a part of one: `pump-{number}`
replay/{dataset}/{path...}    {name...} captures one level or more, at the end or between others
tele/+/SENSOR, homie/#        MQTT's own wildcards match without capturing

Of two captures of several levels the first takes as few as it can: the level after it is the first
that fits.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
_STRAY = re.compile(r"[{}+#]")
MOST_RESTS = 2
LONGEST_SPLIT = 1024  # characters of a name that is split into parts


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
        expression = _expression(levels)
        # Topics that start with $ are the broker's own; a wildcard must not take them by accident.
        guard = r"(?!\$)" if levels[0][:1] in ("+", "#", "{") else ""
        try:
            return re.compile(guard + expression, re.DOTALL)
        except re.error as error:
            raise ValueError(f"{self.pattern!r}: a capture name is used twice ({error})") from error

    @cached_property
    def _prefix(self) -> str:
        # Most topics are somebody else's: that shows without a regular expression.
        found = _STRAY.search(self.pattern)
        prefix = self.pattern if found is None else self.pattern[: found.start()]
        return prefix.removesuffix("/") if found is not None and found[0] == "#" else prefix

    @cached_property
    def captures(self) -> frozenset[str]:
        """Names of the captures."""
        return frozenset(self._regex.groupindex)

    def match(self, topic: str) -> dict[str, str] | None:
        """What the captures hold for `topic`, or None when it does not match."""
        if not topic.startswith(self._prefix):
            return None
        found = self._regex.fullmatch(topic)
        return None if found is None else found.groupdict()


def _expression(levels: list[str]) -> str:
    rests = [index for index, level in enumerate(levels) if _is_rest(level)]
    if len(rests) > MOST_RESTS:
        raise ValueError(f"at most {MOST_RESTS} captures {{name...}} fit into one pattern")
    texts = [
        _level_expression(level, first=index == 0, last=index == len(levels) - 1) for index, level in enumerate(levels)
    ]
    if len(rests) == MOST_RESTS:
        first, second = rests
        if second == first + 1:
            raise ValueError(f"`{levels[first]}` and `{levels[second]}` need a level between them")
        # Atomic: once the level after the first rest was found it stays, so that matching is linear.
        texts[first] = "(?>" + texts[first].replace(".+)", ".+?)")
        texts[first + 1] += "(?=/))"
    return "".join(texts)


def _is_rest(level: str) -> bool:
    found = _CAPTURE.fullmatch(level)
    return found is not None and bool(found[2])


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
        if found[2] and found[0] != level:
            raise ValueError(f"`{found[0]}` captures whole levels and must be a level by itself")
        inner = ".+" if found[2] else "[^/]+"
        expression += _literal(level[position : found.start()]) + f"(?P<{found[1]}>{inner})"
        position = found.end()
    return expression + _literal(level[position:])


class NamePattern:
    """How a name is put together: `{channel}.{device}.{tag...}`; `{name...}` may hold separators.

    Raises ValueError, in words for users, when it cannot be one.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        expression, position = "", 0
        found = list(_CAPTURE.finditer(pattern))
        if not found:
            raise ValueError(f"{pattern!r} captures nothing; write {{name}} for a part")
        if sum(bool(capture[2]) for capture in found) > 1:
            raise ValueError(f"{pattern!r}: only one part can be {{name...}}")
        for capture in found:
            before, after = pattern[position : capture.start()], pattern[capture.end() : capture.end() + 1]
            if position and not before:
                raise ValueError(f"{pattern!r}: something must stand between two parts")
            # A part ends where the next separator begins: matching is linear in the length.
            inner = ".+" if capture[2] or not after else f"[^{re.escape(after)}]+"
            expression += re.escape(before) + f"(?P<{capture[1]}>{inner})"
            position = capture.end()
        if _STRAY.search(re.sub(_CAPTURE, "", pattern).replace("+", "").replace("#", "")):
            raise ValueError(f"{pattern!r}: expected {{name}}, {{name...}} and plain text")
        try:
            self._regex = re.compile(expression + re.escape(pattern[position:]), re.DOTALL)
        except re.error as error:
            raise ValueError(f"{pattern!r}: a capture name is used twice ({error})") from error
        self._split = lru_cache(4096)(self._match)

    @property
    def captures(self) -> frozenset[str]:
        """Names of the parts."""
        return frozenset(self._regex.groupindex)

    def match(self, name: str) -> dict[str, str] | None:
        """The parts of `name`, or None when it is built otherwise. Names come again and are remembered."""
        return None if len(name) > LONGEST_SPLIT else self._split(name)

    def _match(self, name: str) -> dict[str, str] | None:
        found = self._regex.fullmatch(name)
        return None if found is None else found.groupdict()


def _literal(text: str) -> str:
    if _STRAY.search(text):
        raise ValueError(f"{text!r}: expected {{name}}, {{name...}}, `+` or `#` as a whole level, or plain text")
    return re.escape(text)
