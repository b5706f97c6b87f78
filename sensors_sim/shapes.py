"""Randomness and rhythm as pure functions of (seed, who, when): nothing here keeps state.

A value that can be computed for any instant needs no memory per device, so a population of
millions costs nothing until a device is asked, and a restart continues the same curve. No devices here.
"""

import math
import zlib
from functools import lru_cache

_MASK = 0xFFFF_FFFF_FFFF_FFFF
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WEEK_US = 7 * DAY_US
# 1970-01-01 was a Thursday: this shift makes a week begin on Monday 00:00 UTC.
_MONDAY_US = 3 * DAY_US

NOISE_LIMIT = 2 * math.sqrt(3)
"""`noise` never leaves [-NOISE_LIMIT, NOISE_LIMIT], so a range can be promised without clipping."""


@lru_cache(maxsize=4096)
def key_of(name: str) -> int:
    """A number for a name, equal in every process (unlike `hash`)."""
    return zlib.crc32(name.encode())


def mix(*keys: int) -> int:
    """64 well-mixed bits from any integers (the finaliser of splitmix64, chained)."""
    state = 0
    for key in keys:
        state = (state + key + 0x9E37_79B9_7F4A_7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        state ^= state >> 31
    return state


def uniform(*keys: int) -> float:
    """A number in [0, 1)."""
    return (mix(*keys) >> 11) * 2.0**-53


def between(low: float, high: float, *keys: int) -> float:
    """A number in [low, high)."""
    return low + (high - low) * uniform(*keys)


def noise(*keys: int) -> float:
    """Mean 0, standard deviation 1, bell-shaped and bounded: the sum of four uniform numbers."""
    bits = mix(*keys)
    total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
    return (total / 65_535 - 2.0) * math.sqrt(3)


def wave(at_us: int, period_us: int, peak_us: int = 0) -> float:
    """A cosine in [-1, 1] of the given period that is 1 at `peak_us`."""
    return math.cos(2 * math.pi * ((at_us - peak_us) % period_us) / period_us)


def daily(at_us: int, peak_hour: float) -> float:
    """A day's rhythm in [-1, 1] with its maximum at `peak_hour` UTC."""
    return wave(at_us, DAY_US, int(peak_hour * 3600 * SECOND_US))


def weekly(at_us: int, peak_day: float) -> float:
    """A week's rhythm in [-1, 1] with its maximum `peak_day` days after Monday 00:00 UTC."""
    return wave(at_us + _MONDAY_US, WEEK_US, int(peak_day * DAY_US))


def is_weekend(at_us: int) -> bool:
    """Whether the UTC day is a Saturday or a Sunday."""
    return (at_us + _MONDAY_US) % WEEK_US >= 5 * DAY_US
