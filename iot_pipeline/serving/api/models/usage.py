"""Live sums: fleets at a glance, the use of a customer, and the country by region."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from iot_pipeline.serving.api.models.base import Answer, LiveHealth


class Fleet(Answer):
    """A fleet at a glance, live."""

    fleet: Annotated[str, Field(description="Empty for devices whose fleet is not known.")]
    devices: int
    series: int
    readings_per_second: float
    newest_event_ts: datetime | None
    lag_seconds: float | None
    flags_last_hour: int


class Fleets(Answer):
    """All fleets."""

    live: LiveHealth
    fleets: list[Fleet]


class UsageWindow(Answer):
    """One hour of a meter."""

    start: datetime
    count: int
    mean: float
    last: float
    change: Annotated[
        float | None, Field(description="Of a register: `last` minus that of the hour before, which is what was used.")
    ]


class UsageSeries(Answer):
    """A meter's series: its newest value and the last 24 hours."""

    device_id: str
    metric: str
    unit: str | None
    value: float | None
    quality: str
    event_ts: datetime
    change_24h: Annotated[float | None, Field(description="Sum of `change`; null for what is no register.")]
    hours: list[UsageWindow]


class CustomerUsage(Answer):
    """What one customer uses now and used in the last 24 hours. Live: the daily recompute is the billing truth."""

    customer: str
    live: LiveHealth
    since: datetime
    series: list[UsageSeries]


class RegionSum(Answer):
    """All series of one utility, metric and unit of a region."""

    utility: str | None
    metric: str
    unit: str | None
    devices: Annotated[int, Field(description="Devices whose latest value is counted.")]
    total: Annotated[float, Field(description="Sum of latest values: with a rate, what is drawn now.")]
    hour_change: Annotated[float, Field(description="With a register: what was used in the running hour.")]
    newest_event_ts: datetime


class Region(Answer):
    """A region now."""

    region: str
    usage: list[RegionSum]


class NationalUsage(Answer):
    """The country by region, live."""

    live: LiveHealth
    regions: list[Region]
