"""Values: from what a message says to a number, a text or a reason why it is neither.

Nothing is guessed: `1,000` may be a thousand or a one, so it is rejected, and so are NaN, infinity
and numbers with underscores. Booleans are 1 and 0. Integers past 2^53 keep their digits as text.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum

from iot_pipeline.readings.language.fields import Json

EXACT_INTEGERS = 1 << 53  # beyond this a double no longer holds every integer
MAX_TEXT = 4096  # characters of a text reading
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LOOKS_LIKE_NUMBER = re.compile(r"[+-]?(\d[\d.]*[,_' ][\d.,_' ]*|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_LONGEST_NUMBER = 400
# A number, then something that begins with a letter or a sign that units begin with.
_WITH_UNIT = re.compile(r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*((?:[^\W\d_]|[%‰°Ω/])\S{0,15})")
LONGEST_WITH_UNIT = 64  # characters

Coerced = tuple[float | None, str | None]  # (value, text)
Coerce = Callable[[Json], Coerced | None]  # None: nothing to store, by rule


class BadValue(ValueError):
    """A value that should be a reading and cannot be one. Its text says why."""


class NoValue(Exception):
    """A value that the mapping names as one that stands for no value, as null does."""


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


def compile_coerce(
    words: Mapping[str, float],
    *,
    numeric_text: bool,
    text_rule: TextRule,
    decimal_comma: bool = False,
    no_value: Collection[str | float] = (),
    scale: float = 1.0,
    offset: float = 0.0,
) -> Coerce:
    """A function that turns one value (not null) into a reading's value and text.

    It returns None for what the mapping ignores, raises BadValue for what it rejects and NoValue for
    what stands for nothing. Numbers, not words or booleans, become `value * scale + offset`.
    """
    from_text = _compile_text(words, numeric_text=numeric_text, text_rule=text_rule, decimal_comma=decimal_comma)

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

    lower = {word.casefold() for word in words}
    scaled = coerce if (scale, offset) == (1.0, 0.0) else _scaled(coerce, lower, scale, offset)
    return _without(scaled, no_value) if no_value else scaled


def _scaled(coerce: Coerce, words: Collection[str], scale: float, offset: float) -> Coerce:
    def scaled(value: Json) -> Coerced | None:
        found = coerce(value)
        if found is None or found[0] is None or type(value) is bool:
            return found
        if type(value) is str and value.strip().casefold() in words:
            return found
        number = found[0] * scale + offset
        if not math.isfinite(number):
            raise BadValue(f"{found[0]} is not finite after scaling")
        return number, None

    return scaled


def _without(coerce: Coerce, no_value: Collection[str | float]) -> Coerce:
    """Refuse what stands for nothing; numbers are compared as they are sent, before any scale."""
    numbers = {float(one) for one in no_value if not isinstance(one, str)}
    texts = {one.strip().casefold() for one in no_value if isinstance(one, str)}

    def known(value: Json) -> Coerced | None:
        if type(value) is str:
            stripped = value.strip()
            number = from_number_text(stripped) if numbers else None
            nothing = stripped.casefold() in texts or (number is not None and number[0] in numbers)
        else:
            nothing = (type(value) is float or type(value) is int) and value in numbers
        if nothing:
            raise NoValue
        return coerce(value)

    return known


def split_unit(text: str) -> tuple[str, str | None]:
    """The number and the unit of a text such as `21.5 °C`; the text itself and None when it is none."""
    found = _WITH_UNIT.fullmatch(text.strip()) if len(text) <= LONGEST_WITH_UNIT else None
    return (text, None) if found is None else (found[1], found[2])


def _compile_text(
    words: Mapping[str, float], *, numeric_text: bool, text_rule: TextRule, decimal_comma: bool
) -> Callable[[str], Coerced | None]:
    lower = {word.casefold(): float(number) for word, number in words.items()}

    def from_text(text: str) -> Coerced | None:
        stripped = text.strip()
        word = lower.get(stripped.casefold())
        if word is not None:
            return word, None
        if decimal_comma and stripped.count(",") == 1 and "." not in stripped:
            stripped = stripped.replace(",", ".")
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
