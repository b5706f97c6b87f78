"""What the devices of each region measure now: sums over the newest values, by utility, metric and unit.

Made by the thread that follows landing, a piece at a time; readers get the last result.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from iot_pipeline.live.model import RegionUsage
from iot_pipeline.live.periods import HOUR_MINUTES
from iot_pipeline.live.state import State

HEARD_WITHIN_US = 300_000_000
AT_ONCE = 100_000
_KIND_BITS, _UTILITY_BITS = 32, 15


def regions_of(state: State) -> Mapping[str, tuple[RegionUsage, ...]]:
    """Figures by region. A device counts that was heard in the five minutes before the newest message."""
    totals: dict[int, tuple[int, float, float, int]] = {}
    hour = state.periods.current // HOUR_MINUTES
    heard_since = (state.periods.current + 1) * 60_000_000 - HEARD_WITHIN_US
    for begin in range(0, state.series.end, AT_ONCE):
        ids = np.arange(begin, min(begin + AT_ONCE, state.series.end))
        device = state.series.device[ids]
        held = (device >= 0) & np.isfinite(state.latest.value[ids]) & (state.latest.event_us[ids] >= heard_since)
        ids, device = ids[held], device[held].astype(np.int64)
        region = state.attributes.label["region"][device].astype(np.int64)
        ids, device, region = ids[region >= 0], device[region >= 0], region[region >= 0]
        if not len(ids):
            continue
        utility = state.attributes.label["utility"][device].astype(np.int64) + 1
        group = (((region << _UTILITY_BITS) | utility) << _KIND_BITS) | state.series.kind[ids]
        groups, row = np.unique(group, return_inverse=True)
        count = np.bincount(row)
        total = np.bincount(row, state.latest.value[ids])
        change = np.bincount(row, state.periods.hour_change(hour, ids))
        newest = np.zeros(len(groups), np.int64)
        np.maximum.at(newest, row, state.latest.event_us[ids])
        for at, key in enumerate(groups.tolist()):
            known = totals.get(key, (0, 0.0, 0.0, 0))
            totals[key] = (
                known[0] + int(count[at]),
                known[1] + float(total[at]),
                known[2] + float(change[at]),
                max(known[3], int(newest[at])),
            )
    return _named(state, totals)


def _named(state: State, totals: Mapping[int, tuple[int, float, float, int]]) -> Mapping[str, tuple[RegionUsage, ...]]:
    regions, utilities = state.attributes.labels["region"].names, state.attributes.labels["utility"].names
    found: dict[str, list[RegionUsage]] = {}
    for key, (devices, total, change, newest) in totals.items():
        place, kind = key >> _KIND_BITS, key & ((1 << _KIND_BITS) - 1)
        region, utility = regions[place >> _UTILITY_BITS], (place & ((1 << _UTILITY_BITS) - 1)) - 1
        metric, unit = state.series.kind_name(kind)
        found.setdefault(region, []).append(
            RegionUsage(
                region=region,
                utility=None if utility < 0 else utilities[utility],
                metric=metric,
                unit=unit,
                devices=devices,
                total=total,
                hour_change=change,
                newest_event_ts=datetime.fromtimestamp(newest / 1e6, UTC),
            )
        )
    order = [
        (region, sorted(rows, key=lambda row: (row.utility or "", row.metric, row.unit or "")))
        for region, rows in found.items()
    ]
    return {region: tuple(rows) for region, rows in sorted(order)}
