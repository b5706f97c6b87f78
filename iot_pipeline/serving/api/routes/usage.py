"""Usage: what one customer uses, the country by region, and the fleets at a glance. All of it live."""

from typing import Annotated

from fastapi import APIRouter, Query

from iot_pipeline.clock import utc_now
from iot_pipeline.serving.api.answering import Parameters, SourcesAsked
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.models.usage import (
    CustomerUsage,
    Fleet,
    Fleets,
    NationalUsage,
    Region,
    RegionSum,
    UsageSeries,
    UsageWindow,
)
from iot_pipeline.serving.api.problems import documented, not_found
from iot_pipeline.serving.usage import LAST_HOURS, SeriesUse, customer_usage


class CustomerAsked(Parameters):
    """One customer."""

    customer: Name


routes = APIRouter(tags=["usage"])


@routes.get("/fleets", responses={**documented(422, 503)})
async def fleets(_: Annotated[Parameters, Query()], sources: SourcesAsked) -> Fleets:
    """All fleets at a glance: rates, lag, flags of the last hour."""
    health = sources.asked_live()
    return Fleets(live=health, fleets=[Fleet.model_validate(one) for one in sources.live.fleets()])


@routes.get("/customers/usage", responses={**documented(404, 422, 503)})
async def customer(asked: Annotated[CustomerAsked, Query()], sources: SourcesAsked) -> CustomerUsage:
    """What one customer uses now and used in the last 24 hours, by meter and hour."""
    health = sources.asked_live()
    now = utc_now()
    series = customer_usage(sources.live, asked.customer, now)
    if series is None:
        raise not_found("customer", "no device of this customer was heard lately; names are exact")
    shown = [_series(one) for one in series]
    return CustomerUsage(customer=asked.customer, live=health, since=now - LAST_HOURS, series=shown)


@routes.get("/regions", responses={**documented(422, 503)})
async def regions(_: Annotated[Parameters, Query()], sources: SourcesAsked) -> NationalUsage:
    """The country by region: what is drawn now, and what was used in the running hour."""
    health = sources.asked_live()
    found = [
        Region(region=name, usage=[RegionSum.model_validate(one) for one in usage])
        for name, usage in sorted(sources.live.regions().items())
    ]
    return NationalUsage(live=health, regions=found)


def _series(used: SeriesUse) -> UsageSeries:
    latest = used.latest
    hours = [
        UsageWindow(
            start=hour.window.start,
            count=hour.window.count,
            mean=hour.window.mean,
            last=hour.window.last,
            change=hour.change if used.is_register else None,
        )
        for hour in used.hours
    ]
    return UsageSeries(
        device_id=latest.device_id,
        metric=latest.metric,
        unit=latest.unit,
        value=latest.value,
        quality=latest.quality,
        event_ts=latest.event_ts,
        change_24h=used.change_24h,
        hours=hours,
    )
