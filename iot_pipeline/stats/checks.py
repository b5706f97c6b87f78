"""Checks on data time: how old is the newest minute and day that exists, whatever ran lately.

A freshness policy looks at when an asset was last materialised, so a backfill of last month
turns it green; these checks look at what the data speaks of. The sensor reports them each
minute without a run, and anyone can execute them from the UI.
"""

from collections.abc import Callable
from datetime import timedelta

import dagster as dg

from iot_pipeline.clock import DAY, MINUTE, utc_now
from iot_pipeline.landing.layout import landed_minutes
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import days_with_readings, newest_day, newest_minute

DEVICE_MINUTE = dg.AssetKey("device_minute")
DEVICE_DAY = dg.AssetKey("device_day")
MINUTES_CURRENT = "minutes_are_current"
DAYS_CURRENT = "days_are_current"
MINUTE_LAG = timedelta(minutes=5)
# Yesterday is built at 00:20 UTC; until an hour after that the day before is new enough.
DAY_LAG = timedelta(days=1, hours=1, minutes=20)
Verdict = Callable[[Settings], dg.AssetCheckEvaluation]


def minutes_current(settings: Settings) -> dg.AssetCheckEvaluation:
    """Whether the newest minute with statistics ended within `MINUTE_LAG`; before the first, whether that is due."""
    newest = newest_minute(settings.paths) or next(iter(landed_minutes(settings.paths, None)), None)
    lag = utc_now() - newest - MINUTE if newest else None
    return dg.AssetCheckEvaluation(
        asset_key=DEVICE_MINUTE,
        check_name=MINUTES_CURRENT,
        passed=lag is None or lag <= MINUTE_LAG,
        metadata={
            "newest_minute": newest.isoformat() if newest else "none",
            "lag_seconds": round(lag.total_seconds(), 1) if lag is not None else -1.0,
            "allowed_seconds": MINUTE_LAG.total_seconds(),
        },
    )


def days_current(settings: Settings) -> dg.AssetCheckEvaluation:
    """Whether the newest day with statistics ended within `DAY_LAG`; before the first, whether that is due.

    The present day counts, since it is built so far.
    """
    newest = newest_day(settings.paths) or next(iter(days_with_readings(settings.paths)), None)
    lag = utc_now().date() - newest - DAY if newest else None
    return dg.AssetCheckEvaluation(
        asset_key=DEVICE_DAY,
        check_name=DAYS_CURRENT,
        passed=lag is None or lag <= DAY_LAG,
        metadata={
            "newest_day": newest.isoformat() if newest else "none",
            "allowed_days": round(DAY_LAG / DAY, 2),
        },
    )


VERDICTS: tuple[Verdict, ...] = (minutes_current, days_current)
DATA_TIME_CHECKS = (dg.AssetCheckKey(DEVICE_MINUTE, MINUTES_CURRENT), dg.AssetCheckKey(DEVICE_DAY, DAYS_CURRENT))


def data_time_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The same verdicts as executable checks."""
    return [
        _check(
            settings, minutes_current, DEVICE_MINUTE, MINUTES_CURRENT, "The newest minute ended 5 minutes ago or less."
        ),
        _check(settings, days_current, DEVICE_DAY, DAYS_CURRENT, "The newest day is the present one or yesterday."),
    ]


def _check(
    settings: Settings, verdict: Verdict, asset: dg.AssetKey, name: str, description: str
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=description)
    def execute() -> dg.AssetCheckResult:
        evaluation = verdict(settings)
        return dg.AssetCheckResult(passed=evaluation.passed, metadata=evaluation.metadata)

    return execute
