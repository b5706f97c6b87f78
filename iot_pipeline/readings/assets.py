"""The readings stage as Dagster assets: landing minutes in, readings and quarantine out.

Decoding itself is plain Python in this package; here it gets partitions, metadata and the
conservation check.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import dagster as dg

from iot_pipeline.clock import minute_key, minutes_between
from iot_pipeline.landing.assets import LANDING
from iot_pipeline.landing.layout import torn_files
from iot_pipeline.partitions import MINUTE_POOL, minute_backfill, minute_partitions, minute_window
from iot_pipeline.readings.build import IntakeMinute, build_minutes
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings

READINGS = dg.AssetKey("readings")
QUARANTINE = dg.AssetKey("quarantine")
DEVICES = dg.AssetKey("devices")
CONSERVED = "messages_conserved"
WHOLE = "landed_files_whole"


def readings_assets(settings: Settings) -> dg.AssetsDefinition:
    """`readings`, `quarantine` and `devices`, by landing minute, made in one pass over the messages."""
    minutes = minute_partitions(settings)
    readings = dg.AssetSpec(
        READINGS,
        deps=[LANDING],
        partitions_def=minutes,
        group_name="readings",
        kinds={"python", "parquet"},
        owners=["team:data"],
        description=(
            "Decoded readings. A partition decodes one landing minute by the mappings and files each reading "
            "under the minute it happened; what is old goes straight to its day."
        ),
        freshness_policy=dg.FreshnessPolicy.time_window(
            warn_window=timedelta(minutes=5), fail_window=timedelta(minutes=15)
        ),
    )
    quarantine = dg.AssetSpec(
        QUARANTINE,
        deps=[LANDING],
        partitions_def=minutes,
        group_name="readings",
        kinds={"python", "parquet"},
        owners=["team:data"],
        description=(
            "Messages, or fields of them, that could not be read: raw bytes, reason, mapping and its version. "
            "Mend the mapping and materialise the same minutes again: the good rows move to readings."
        ),
    )
    devices = dg.AssetSpec(
        DEVICES,
        deps=[LANDING],
        partitions_def=minutes,
        group_name="readings",
        kinds={"python", "parquet"},
        owners=["team:data"],
        description="Devices heard in a landing minute, with the attributes that they told.",
    )
    conserved = dg.AssetCheckSpec(
        CONSERVED,
        asset=READINGS,
        blocking=True,
        description="Messages landed = decoded + duplicates + without reading by rule + quarantined, in every minute.",
    )
    whole = dg.AssetCheckSpec(
        WHOLE,
        asset=READINGS,
        description="No landed file of these minutes is torn. Messages of a torn file are missing from readings.",
    )

    @dg.multi_asset(
        name="decode_messages",
        specs=[readings, quarantine, devices],
        check_specs=[conserved, whole],
        partitions_def=minutes,
        backfill_policy=minute_backfill(settings),
        pool=MINUTE_POOL,
    )
    def decode_messages(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        first, last = minute_window(context)
        built = build_minutes(settings, load_mappings(settings.mappings), minutes_between(first, last))
        _describe_partitions(context, built)
        yield dg.MaterializeResult(asset_key=READINGS)
        yield dg.MaterializeResult(asset_key=QUARANTINE)
        yield dg.MaterializeResult(asset_key=DEVICES)
        yield _conservation(built)
        yield _wholeness(settings, minutes_between(first, last))

    return decode_messages


def _describe_partitions(context: dg.AssetExecutionContext, built: Sequence[IntakeMinute]) -> None:
    """Give each partition its own figures, also when one run makes many."""
    for minute in built:
        key = minute_key(minute.minute)
        context.add_asset_metadata(
            {
                "dagster/row_count": minute.readings,
                "messages": minute.messages,
                "duplicates": minute.reading_duplicates,
                "lag_p95_seconds": minute.lag_p95_seconds or 0.0,
                "touched_minutes": len(minute.touched_minutes),
                "touched_days": len(minute.touched_days),
            },
            asset_key=READINGS,
            partition_key=key,
        )
        context.add_asset_metadata(
            {"messages": minute.quarantined, "fields": minute.quarantined_fields},
            asset_key=QUARANTINE,
            partition_key=key,
        )


def _conservation(built: Sequence[IntakeMinute]) -> dg.AssetCheckResult:
    outcomes = {
        "decoded": sum(minute.decoded for minute in built),
        "duplicates": sum(minute.duplicates for minute in built),
        "no_reading": sum(minute.no_reading for minute in built),
        "quarantined": sum(minute.quarantined for minute in built),
    }
    broken = [
        minute_key(minute.minute)
        for minute in built
        if minute.messages != minute.decoded + minute.duplicates + minute.no_reading + minute.quarantined
    ]
    return dg.AssetCheckResult(
        asset_key=READINGS,
        check_name=CONSERVED,
        passed=not broken,
        metadata={
            "messages": sum(minute.messages for minute in built),
            **outcomes,
            "minutes_checked": len(built),
            "minutes_broken": dg.MetadataValue.json(broken),
        },
    )


def _wholeness(settings: Settings, minutes: Sequence[datetime]) -> dg.AssetCheckResult:
    torn = torn_files(settings.paths, minutes)
    return dg.AssetCheckResult(
        asset_key=READINGS,
        check_name=WHOLE,
        passed=not torn,
        metadata={
            "torn": dg.MetadataValue.json([str(path) for path in torn]),
            "do": "restore them from a backup, or delete them, and materialise these minutes again",
        },
    )
