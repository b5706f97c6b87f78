"""Values: from what a message says to a number, a text or a reason why it is neither.

Nothing is guessed: `1,000` may be a thousand or a one, so it is rejected, and so are NaN, infinity
and numbers with underscores. Booleans are 1 and 0. Integers past 2^53 keep their digits as text.
"""

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from iot_pipeline.readings.fields import Json

EXACT_INTEGERS = 1 << 53  # beyond this a double no longer holds every integer
MAX_TEXT = 4096  # characters of a text reading
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LOOKS_LIKE_NUMBER = re.compile(r"[+-]?(\d[\d.]*[,_' ][\d.,_' ]*|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_LONGEST_NUMBER = 400

Coerced = tuple[float | None, str | None]  # (value, text)
Coerce = Callable[[Json], Coerced | None]  # None: nothing to store, by rule


class BadValue(ValueError):
    """A value that should be a reading and cannot be one. Its text says why."""


class TextRule(StrEnum):
    """What becomes of a text that is no number and no word of the mapping."""

    IGNORE = "ignore"
    READING = "reading"
    REJECT = "reject"


def from_integer(value: int) -> Coerced:
    """An integer as double, with its exact digits beside it when the double cannot hold them."""
    if -EXACT_INTEGERS <= value <= EXACT_INTEGERS:
        return float(value), None
    try:
        return float(value), str(value)
    except (OverflowError, ValueError) as error:
        raise BadValue("integer beyond what a double can hold") from error


def from_number_text(text: str) -> Coerced | None:
    """A text that is exactly one finite decimal number; None for any other text."""
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        return None
    if text.lstrip("+-").isdigit():
        return from_integer(int(text))
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadValue(f"{text[:40]} is not finite")
    return value, None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def compile_coerce(words: Mapping[str, float], *, numeric_text: bool, text_rule: TextRule) -> Coerce:
    """A function that turns one value (not null) into a reading's value and text.

    It returns None for what the mapping ignores and raises BadValue for what it rejects.
    """
    from_text = _compile_text(words, numeric_text=numeric_text, text_rule=text_rule)

    def coerce(value: Json) -> Coerced | None:
        if isinstance(value, bool):
            return float(value), None
        if isinstance(value, float):
            # msgspec refuses NaN and infinity, Sparkplug does not: they reach this line.
            if not math.isfinite(value):
                raise BadValue(f"{value} is not finite")
            return value, None
        if isinstance(value, int):
            return from_integer(value)
        if isinstance(value, str):
            return from_text(value)
        raise BadValue(f"{'an array' if isinstance(value, list) else 'an object'} where one value is expected")

    return coerce


def _compile_text(
    words: Mapping[str, float], *, numeric_text: bool, text_rule: TextRule
) -> Callable[[str], Coerced | None]:
    lower = {word.casefold(): float(number) for word, number in words.items()}

    def from_text(text: str) -> Coerced | None:
        stripped = text.strip()
        word = lower.get(stripped.casefold())
        if word is not None:
            return word, None
        number = from_number_text(stripped) if numeric_text else None
        if number is not None:
            return number
        if text_rule is TextRule.READING:
            if len(text) > MAX_TEXT:
                raise BadValue(f"text of {len(text)} characters; at most {MAX_TEXT} are stored")
            return None, text
        if text_rule is TextRule.REJECT or _LOOKS_LIKE_NUMBER.fullmatch(stripped):
            raise BadValue(f"{_shown(text)} is not a number that can be read without guessing")
        return None

    return from_text
