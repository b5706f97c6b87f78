"""What is known of a device: its series, and what it told of itself.

Plain functions over published rows and records of the live layer; its figures are `figures.py`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from iot_pipeline.live.model import LatestReading


@dataclass(frozen=True, slots=True)
class Series:
    """A metric of a device with its unit."""

    metric: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a device.

    Attributes:
        fleet: its fleet; empty when it is not known.
        first_seen: when it was first heard, UTC; None when nothing is published of it yet.
        last_seen: the newest published sign of it.
        customer: whose it is.
        attributes: everything that it or its mapping told, by name.
    """

    fleet: str
    first_seen: datetime | None
    last_seen: datetime | None
    customer: str | None
    attributes: tuple[tuple[str, str], ...]


def series_of(latest: Iterable[LatestReading], published: pl.DataFrame | None = None) -> list[Series]:
    """The series of a device by name; of those that are texts only, too."""
    found = {Series(one.metric, one.unit) for one in latest}
    if published is not None:
        found |= {Series(metric, unit) for metric, unit in published.select("metric", "unit").unique().iter_rows()}
    return sorted(found, key=lambda one: (one.metric, one.unit or ""))


def facts_of(known: dict[str, object] | None, latest: Sequence[LatestReading]) -> Facts:
    """What is known, from the device's published row (DIM_DEVICE_SCHEMA) and from what is heard live."""
    fleet = latest[0].fleet if latest else ""
    if known is None:
        return Facts(fleet, None, None, None, ())
    attributes = _attributes(known.get("attributes"))
    customer, first, last = known.get("customer"), known.get("first_seen"), known.get("last_seen")
    return Facts(
        fleet=fleet or str(known.get("fleet") or ""),
        first_seen=first if isinstance(first, datetime) else None,
        last_seen=last if isinstance(last, datetime) else None,
        customer=str(customer) if customer else None,
        attributes=tuple(sorted(attributes.items())),
    )


def _attributes(text: object) -> dict[str, str]:
    try:
        told = json.loads(str(text or "{}"))
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in told.items()
    }


def bounded(device_id: str) -> str:
    """A name as it is asked for, cut where no device's name goes."""
    return device_id[:1024]
