"""Comparing what came out of a sample with what was expected, in words for people.

Floats are equal within 1e-6 relative (values often travel as 32-bit floats), integers exactly, units
where the expectation names one.
"""

import math
from collections.abc import Iterator

from iot_pipeline.readings.tryout.samples import RECEIVED, Expectation, ExpectedReading, instant
from iot_pipeline.readings.tryout.trial import Tried, TriedReading, iso

RELATIVE = 1e-6
_Value = bool | int | float | str


def differences(expectation: Expectation, tried: Tried, received_us: int) -> list[str]:
    """Where a message differs from what was expected of it, one line each; none when it does not."""
    if expectation.optional is True and not tried.readings:
        return []
    unclaimed = list(tried.readings)
    missing = [reading for reading in expectation.readings if not _claim(reading, unclaimed, received_us)]
    if isinstance(expectation.optional, list):
        for reading in expectation.optional:
            _claim(reading, unclaimed, received_us)
    lines = list(_paired(missing, unclaimed))
    if lines and tried.reason is not None:
        lines.append(f"quarantined as {tried.reason}: {tried.detail}")
    lines += [
        f"quarantined {field.field}: {field.reason}: {field.detail}" for field in tried.quarantined_fields if lines
    ]
    return lines


def _claim(expected: ExpectedReading, unclaimed: list[TriedReading], received_us: int) -> bool:
    """Take the reading that was expected out of `unclaimed`, if it is there."""
    for index, found in enumerate(unclaimed):
        if _same_place(expected, found, received_us) and equal(expected.value, found.value):
            del unclaimed[index]
            return True
    return False


def _same_place(expected: ExpectedReading, found: TriedReading, received_us: int) -> bool:
    return (
        expected.device_id == found.device_id
        and expected.metric == found.metric
        and (not isinstance(expected.unit, str | None) or expected.unit == found.unit)
        and _when(expected, received_us) == found.ts
    )


def _when(expected: ExpectedReading, received_us: int) -> str:
    found = received_us if expected.ts == RECEIVED else instant(expected.ts)
    return expected.ts if found is None else iso(found)


def equal(expected: _Value, found: _Value) -> bool:
    """Whether a value is the one expected; true and false are 1 and 0."""
    if isinstance(expected, str) or isinstance(found, str):
        return expected == found
    if isinstance(expected, float):
        return math.isclose(expected, found, rel_tol=RELATIVE)
    return expected == found


def _paired(missing: list[ExpectedReading], extra: list[TriedReading]) -> Iterator[str]:
    """Missing and extra readings of the same device and metric are one difference, told together."""
    rest = list(extra)
    for expected in missing:
        partner = next((found for found in rest if _alike(expected, found)), None)
        if partner is None:
            yield f"missing {_shown(expected)}"
        else:
            rest.remove(partner)
            yield f"differs {_shown(expected)}\n   found {_shown(partner)}"
    for found in rest:
        yield f"extra   {_shown(found)}"


def _alike(expected: ExpectedReading, found: TriedReading) -> bool:
    return (expected.device_id, expected.metric) == (found.device_id, found.metric)


def _shown(reading: ExpectedReading | TriedReading) -> str:
    unit = f" {reading.unit}" if isinstance(reading.unit, str) else ""
    return f"{reading.device_id} | {reading.metric} | {reading.ts} | {reading.value!r}{unit}"
