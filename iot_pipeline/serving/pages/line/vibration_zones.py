"""Zones of vibration severity by class of machine: the table that the marts use, read from the same file."""

import csv
from dataclasses import dataclass
from functools import cache

from iot_pipeline.paths import DBT_PROJECT

SOURCE = (
    "ISO 10816-3:2009, tables A.1 and A.2 (superseded by ISO 20816-3:2022, which has the same kind of zones; "
    "check its tables before you act on a border)"
)
MEANING = {
    "A": "newly commissioned",
    "B": "unrestricted long-term running",
    "C": "not for long",
    "D": "damaging",
}
LOWEST = ("group_2", "rigid")
"""What a machine is taken for that does not tell its class, or tells another one: the lowest borders."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Where zones B, C and D begin, mm/s rms, of machines of one group on one kind of support."""

    machine_group: str
    support: str
    b: float
    c: float
    d: float

    def zone(self, v_rms: float) -> str:
        """The zone of a velocity, mm/s rms."""
        return "A" if v_rms < self.b else "B" if v_rms < self.c else "C" if v_rms < self.d else "D"

    @property
    def told(self) -> str:
        """The class in words."""
        return f"{self.machine_group.replace('_', ' ')}, {self.support} support"


def zones_of(machine_group: str | None, support: str | None) -> Zones:
    """The borders for a class of machine."""
    known = _table()
    return known.get((machine_group or "", support or ""), known[LOWEST])


@cache
def _table() -> dict[tuple[str, str], Zones]:
    with (DBT_PROJECT / "seeds" / "vibration_zone.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    borders = ("zone_b_from", "zone_c_from", "zone_d_from")
    found = [Zones(row["machine_group"], row["support"], *(float(row[border]) for border in borders)) for row in rows]
    return {(one.machine_group, one.support): one for one in found}
