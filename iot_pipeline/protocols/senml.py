"""SenML packs in JSON (RFC 8428): from what a JSON decoder gives to resolved records, nothing else.

Base fields are applied and relative times become absolute; which name is a device and which a metric
is for the callers. Names are taken as they are, also where the RFC would want other characters.
"""

import math
from collections.abc import Iterator
from typing import Final

from iot_pipeline.errors import IotError

Plain = bool | int | float | str
Record = dict[str, Plain]
Number = int | float

# Times below this are relative to now (RFC 8428, 4.5.3): as absolute times they would lie before 1979.
RELATIVE_BELOW: Final = 1 << 28
# 10 is RFC 8428; 16 more are the secondary units of RFC 8798, which are names of units like others (RFC 9100).
VERSIONS: Final = frozenset({*range(11), 26})
SEPARATORS: Final = ":/.-_"

_NUMBERS = frozenset({"bt", "bv", "bs", "v", "s", "t", "ut"})
_TEXTS = frozenset({"bn", "bu", "n", "u", "vs", "vd"})
_VALUES = ("v", "vs", "vb", "vd")
_BASES = frozenset({"bn", "bt", "bu", "bv", "bs", "bver"})


class SenmlError(IotError):
    """A pack or a record that is no SenML. Its text says which record and why."""


def resolve(pack: object, received_us: int) -> Iterator[tuple[int, Record | SenmlError]]:
    """The records of a pack by position, each resolved or with the reason why it cannot be.

    A resolved record has `n` (full name), one of `v`, `vs`, `vb` and `vd` (base64 as it was sent) or
    `s` alone, and where they are known `u`, `s`, `ut` and `t`. `t` counts seconds since 1970 UTC and is
    absent when the sensor knows no time: then it was about `received_us`, microseconds since 1970 UTC.
    Beside what the RFC resolves: `bn`, the base name in force; `base_name`, the same without a
    separator at its end; `own_name`, what `n` has beyond it.

    Raises:
        SenmlError: nothing of the pack may be used: it is no array, its version or a field that must
            be understood is unknown, or a base field is not of its type.
    """
    if not isinstance(pack, list):
        raise SenmlError("a pack is an array of records")
    for index, record in enumerate(pack):
        if isinstance(record, dict):
            _check(index, record)
    base: dict[str, Plain] = {}
    for index, record in enumerate(pack):
        if not isinstance(record, dict):
            yield index, SenmlError("not an object")
            continue
        base.update({key: record[key] for key in record.keys() & _BASES})
        if record.keys() <= _BASES:
            continue  # it only sets what the next ones share
        try:
            yield index, _resolved(record, base, received_us)
        except SenmlError as error:
            yield index, error


def _check(index: int, record: dict[str, object]) -> None:
    """Raise SenmlError for what makes the whole pack unusable."""
    for key, value in record.items():
        if key == "bver":
            if not isinstance(value, int) or isinstance(value, bool) or value not in VERSIONS:
                raise SenmlError(
                    f"record {index}: version {str(value)[:20]}; known are 10 (RFC 8428) and 26 (RFC 9100)"
                )
        elif key.endswith("_"):
            raise SenmlError(f"record {index}: {key[:40]!r} must be understood and is not known here")
        elif key in _BASES and not _fits(key, value):
            raise SenmlError(f"record {index}: {key} is not {_kind(key)}")


def _fits(key: str, value: object) -> bool:
    if key in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if key in _TEXTS:
        return isinstance(value, str)
    return isinstance(value, bool) if key == "vb" else True


def _kind(key: str) -> str:
    return "a number" if key in _NUMBERS else "a text" if key in _TEXTS else "true or false"


def _resolved(record: dict[str, Plain], base: dict[str, Plain], received_us: int) -> Record:
    for key, value in record.items():
        if not _fits(key, value):
            raise SenmlError(f"{key} is not {_kind(key)}")
    resolved = _names(str(base.get("bn", "")), str(record.get("n", "")))
    if unit := record.get("u") or base.get("bu"):
        resolved["u"] = unit
    resolved |= _values(record, base)
    if "ut" in record:
        resolved["ut"] = record["ut"]
    time = _sum("bt", "t", base, record)
    if time:
        resolved["t"] = time if time >= RELATIVE_BELOW else _absolute(time, received_us)
    return resolved


def _names(base_name: str, own_name: str) -> Record:
    if not base_name and not own_name:
        raise SenmlError("neither a name nor a base name")
    names: Record = {"n": base_name + own_name}
    if base_name:
        names |= {"bn": base_name, "base_name": base_name[:-1] if base_name[-1] in SEPARATORS else base_name}
    return names | {"own_name": own_name} if own_name else names


def _values(record: dict[str, Plain], base: dict[str, Plain]) -> Record:
    summed = "s" in record or "bs" in base
    told = [key for key in _VALUES if key in record]
    if len(told) > 1 or not (told or summed):
        raise SenmlError(f"one value is expected, found {' and '.join(told) or 'none'}")
    values: Record = {key: _sum("bv", "v", base, record) if key == "v" else record[key] for key in told}
    return values | {"s": _sum("bs", "s", base, record)} if summed else values


def _sum(base_key: str, key: str, base: dict[str, Plain], record: dict[str, Plain]) -> Number:
    first, second = base.get(base_key, 0), record.get(key, 0)
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        raise SenmlError(f"{base_key} or {key} is not a number")
    try:
        total = first + second
        if math.isfinite(total):
            return total
    except OverflowError:
        pass
    raise SenmlError(f"{base_key} and {key} add up to more than a double can hold")


def _absolute(relative_s: Number, received_us: int) -> float:
    if relative_s * 1_000_000 < -received_us:
        raise SenmlError(f"t is {-relative_s} s before its arrival: before 1970")
    # To whole microseconds first: of these, a double of seconds keeps every one until the year 2242.
    return (received_us + round(relative_s * 1_000_000)) / 1_000_000
