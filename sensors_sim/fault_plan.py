"""Which fault happens when, in which fleet: a timetable that follows from the seed alone.

What a fault does to a reading is in `faults.py`. Each kind has a timetable of its own, and its turns go
round the fleets, so that running one fleet alone shows as many faults as running all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sensors_sim.fleet import to_us
from sensors_sim.shapes import SECOND_US, between, key_of


class FaultKind(StrEnum):
    """The typed faults; the first five change values, `gap` drops them, the rest concern whole messages."""

    SPIKE = "spike"
    STUCK = "stuck"
    DRIFT = "drift"
    STEP = "step"
    NOISE = "noise"
    GAP = "gap"
    LATE = "late"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a kind happens: seconds until the first, between two, and how long one lasts (0: one reading)."""

    first_s: tuple[float, float]
    every_s: tuple[float, float]
    lasts_s: tuple[float, float] = (0, 0)


CADENCES = {
    # The first spike comes early, where a minute's own readings are enough to tell it (see FIRST_SPIKE): a newcomer
    # finds a flag within three minutes. The next ones come when detectors know what is normal.
    FaultKind.SPIKE: Cadence((25, 35), (75, 120)),
    FaultKind.STUCK: Cadence((420, 600), (900, 1500), (90, 180)),
    FaultKind.DRIFT: Cadence((660, 900), (1500, 2400), (240, 480)),
    FaultKind.STEP: Cadence((240, 360), (900, 1500), (60, 150)),
    FaultKind.NOISE: Cadence((900, 1200), (1200, 2100), (60, 150)),
    FaultKind.GAP: Cadence((540, 720), (900, 1500), (60, 120)),
    FaultKind.LATE: Cadence((180, 300), (540, 660), (3, 8)),
    FaultKind.DUPLICATE: Cadence((60, 120), (90, 150)),
    FaultKind.MALFORMED: Cadence((60, 120), (90, 150)),
    FaultKind.CLOCK: Cadence((150, 240), (240, 360)),
}
FIRST_SPIKE = "weather"
# A sensor of these is heard too seldom for a fault that lasts a minute or two to show.
SPARSE_FLEETS = frozenset({"us_states"})


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that befalls whichever reading of `fleet` comes first at or after `at_us`."""

    kind: FaultKind
    number: int
    fleet: str
    at_us: int
    lasts_us: int


def fit_fleets(kind: FaultKind, fleets: Sequence[str]) -> list[str]:
    """The fleets that a kind of fault can befall."""
    lasting = CADENCES[kind].lasts_s[1] > 60
    return [fleet for fleet in fleets if not (lasting and fleet in SPARSE_FLEETS)]


def timetable(
    kind: FaultKind, *, fleets: Sequence[str], seed: int, start: datetime, rate: float = 1.0
) -> Iterator[Planned]:
    """All faults of a kind, in order of time, without end (empty when no fleet is fit for the kind).

    Args:
        kind: the kind of fault.
        fleets: names of the fleets that run, in the order in which they take turns.
        seed: equal seeds give equal timetables.
        start: when the simulation begins (UTC).
        rate: multiplies how often faults happen after the first one.
    """
    cadence = CADENCES[kind]
    fit = fit_fleets(kind, fleets)
    if not fit:
        return
    key = key_of(kind)
    # Kinds begin at different fleets.
    shift = key % len(fit)
    if kind is FaultKind.SPIKE:
        shift = fit.index(FIRST_SPIKE) if FIRST_SPIKE in fit else 0
    at_us = to_us(start) + int(between(*cadence.first_s, seed, key, 0) * SECOND_US)
    number = 0
    while True:
        lasts_us = int(between(*cadence.lasts_s, seed, key, number, 1) * SECOND_US)
        yield Planned(kind, number, fit[(number + shift) % len(fit)], at_us, lasts_us)
        number += 1
        at_us += int(between(*cadence.every_s, seed, key, number) / rate * SECOND_US)
