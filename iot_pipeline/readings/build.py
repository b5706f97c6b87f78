"""The readings stage: landing minutes in; readings, quarantine, devices and the account out.

A pure function of what landed (and of the settings): building a minute again gives the same files,
replaces all that it wrote before and announces only what changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import structlog

from iot_pipeline.clock import MINUTE, day_key, minute_key, utc_now
from iot_pipeline.files import append_line, write_parquet
from iot_pipeline.landing.layout import landed_minutes, read_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.protocols.sparkplug_b import parse_topic
from iot_pipeline.readings.decoding.births import BirthBook, binds_names
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.devices import device_frame
from iot_pipeline.readings.filing import Filing, announced, file_readings, split_by_event
from iot_pipeline.readings.frames import Decoded, birth_frame, decode_frame, quarantine_frame
from iot_pipeline.readings.intake import IntakeMinute, outcomes
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.readings.schema import DEVICE_SCHEMA, INTAKE_SCHEMA, QUARANTINE_SCHEMA
from iot_pipeline.readings.store import birth_file, birth_files, landed_of
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.settings import Settings
from iot_pipeline.trees import MinuteTree

__all__ = ["IntakeMinute", "birth_book", "build_minutes", "device_tree", "intake_tree", "quarantine_tree"]

# How far back births are looked for in landing minutes that were not decoded; nodes are born anew more often.
BIRTHS_NOT_DECODED = timedelta(days=1)
LEDGER_FILE = "readings.jsonl"
_log = structlog.get_logger(__name__)


def quarantine_tree(paths: DataPaths) -> MinuteTree:
    """What could not be read, by landing minute."""
    return MinuteTree(paths.quarantine, QUARANTINE_SCHEMA)


def device_tree(paths: DataPaths) -> MinuteTree:
    """Devices heard, by landing minute."""
    return MinuteTree(paths.devices, DEVICE_SCHEMA)


def intake_tree(paths: DataPaths) -> MinuteTree:
    """The account, by landing minute."""
    return MinuteTree(paths.intake, INTAKE_SCHEMA)


@dataclass(frozen=True, slots=True)
class _Built:
    """One landing minute, decoded and filed but not yet announced."""

    intake: IntakeMinute
    filing: Filing
    quarantine: pl.DataFrame
    devices: pl.DataFrame


def build_minutes(settings: Settings, mappings: MappingSet, minutes: Sequence[datetime]) -> list[IntakeMinute]:
    """Decode landing minutes and replace everything that they wrote before.

    Args:
        settings: limits on time and size, and the data folder.
        mappings: what messages mean.
        minutes: landing minutes in UTC, in any order; each is built, also when nothing landed in it.

    Returns:
        The account of each minute, in order of time.

    Raises:
        DataError: a landed file cannot be read, or the account does not add up.
        RemovedError: retention removed what landed in these minutes; nothing was built.
        StorageUnavailable: nothing more was written; building the same minutes again completes it.
    """
    paths = settings.paths
    if minutes:
        refuse_removed(paths, Level.LANDING, min(minutes).date())
    built: list[_Built] = []
    decoder: MessageDecoder | None = None
    previous: datetime | None = None
    first_minute = settings.first_minute
    for minute in sorted(set(minutes)):
        if decoder is None or previous is None or minute - previous != MINUTE:
            # Births of minutes between two that are asked for are on disk, not in the old decoder.
            decoder = MessageDecoder(mappings, limits_of(settings), birth_book(paths, minute))
        built.append(_build(settings, decoder, minute, first_minute))
        previous = minute
    _publish(paths, built)
    return [one.intake for one in built]


def birth_book(paths: DataPaths, minute: datetime) -> BirthBook:
    """The births that were in force when `minute` began to land; read as far back as somebody asks for."""
    return BirthBook(lambda: _older_births(paths, minute))


def _older_births(paths: DataPaths, minute: datetime) -> Iterator[list[tuple[str, bytes]]]:
    """Births that landed before `minute`, newest first.

    Landing minutes that were not decoded yet, because their run failed or has not come, are read from
    landing: what a message means must not depend on which minute was decoded first.
    """
    kept = {landed_of(path): path for path in birth_files(paths, minute)}
    waiting = set(_not_decoded(paths, minute - BIRTHS_NOT_DECODED, minute))
    for older in sorted({*kept, *waiting}, reverse=True):
        if older in waiting:
            landed = read_minute(paths, older).sort("received_at", "collector", "batch", "row")
            births = landed.filter(_is_birth(landed["topic"]))
        else:
            births = pl.read_parquet(kept[older], hive_partitioning=False)
        yield list(zip(births["topic"], births["payload"], strict=True))


def _not_decoded(paths: DataPaths, since: datetime, before: datetime) -> Iterator[datetime]:
    tree = intake_tree(paths)
    for minute in landed_minutes(paths, since):
        if minute < before and tree.sealed.current(minute.date()) is None and not tree.file(minute).exists():
            yield minute


def _build(settings: Settings, decoder: MessageDecoder, minute: datetime, first_minute: datetime) -> _Built:
    paths = settings.paths
    decoded = decode_frame(read_minute(paths, minute), decoder)
    _keep_births(birth_file(paths, minute), decoded)
    filing = file_readings(paths, minute, decoded, split_by_event(decoded, first_minute))
    stored = decoded.found[decoded.order]
    counted = outcomes(
        decoded.messages.height,
        stored=stored.unique().to_list(),
        found=decoded.found.unique().to_list(),
        problems=[problem.message for problem in decoded.sink.problems],
    )
    received_us = decoded.messages["received_at"].dt.epoch("us")
    lag = (received_us[stored] - decoded.rows["event_us"][decoded.order]) / 1e6
    intake = IntakeMinute(
        minute=minute,
        messages=decoded.messages.height,
        decoded=counted.decoded,
        duplicates=counted.duplicates,
        no_reading=counted.no_reading,
        quarantined=counted.quarantined,
        readings=len(stored),
        reading_duplicates=decoded.rows.height - len(stored),
        quarantined_fields=decoded.sink.fields_rejected,
        null_fields=decoded.sink.nulls,
        lag_max_seconds=_figure(lag.max()),
        lag_p95_seconds=_figure(lag.quantile(0.95, "nearest")),
        built_at=utc_now(),
        mapping_versions=_used_versions(decoded, decoder),
        touched_minutes=tuple(part.minute for part in filing.touched if part.minute is not None),
        touched_days=tuple(part.day for part in filing.touched if part.minute is None),
    )
    return _Built(
        intake, filing, quarantine_frame(decoded, decoder), device_frame(decoded, decoder, settings.sparkplug_host_id)
    )


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _used_versions(decoded: Decoded, decoder: MessageDecoder) -> dict[str, str]:
    used = (decoder.mapping_of(topic) for topic in decoded.messages["topic"].unique())
    return {mapping.name: mapping.version for mapping in used if mapping is not None}


def _keep_births(path: Path, decoded: Decoded) -> None:
    births = birth_frame(decoded, _is_birth(decoded.messages["topic"]))
    if births.is_empty():
        path.unlink(missing_ok=True)
    elif not path.exists() or not pl.read_parquet(path, hive_partitioning=False).equals(births):
        write_parquet(births, path)


def _is_birth(topics: pl.Series) -> pl.Series:
    """Which messages are births or deaths, by their topics."""
    parsed = {text: parse_topic(text) for text in topics.unique()}
    return pl.Series([binds_names(parsed[text]) for text in topics], dtype=pl.Boolean)


def _publish(paths: DataPaths, built: Sequence[_Built]) -> None:
    """Write the trees by landing minute, then announce what changed: the account comes last."""
    _write_changed(quarantine_tree(paths), {one.intake.minute: one.quarantine for one in built})
    _write_changed(device_tree(paths), {one.intake.minute: one.devices for one in built})
    intake_tree(paths).write_many({one.intake.minute: one.intake.frame() for one in built})
    changed = [one for one in built if one.filing.touched]
    if changed:
        append_line(paths.ledger / LEDGER_FILE, "\n".join(_ledger_line(one.intake) for one in changed))
    for one in changed:
        announced(paths, one.intake.minute, one.filing)
    _log.info(
        "minutes_built",
        minutes=len(built),
        messages=sum(one.intake.messages for one in built),
        readings=sum(one.intake.readings for one in built),
        quarantined=sum(one.intake.quarantined for one in built),
    )


def _write_changed(tree: MinuteTree, frames: dict[datetime, pl.DataFrame]) -> None:
    changed = {
        minute: frame
        for minute, frame in frames.items()
        if tree.sealed.current(minute.date()) is not None
        or not tree.file(minute).exists()
        or not pl.read_parquet(tree.file(minute), hive_partitioning=False).equals(frame)
    }
    if changed:
        tree.write_many(changed)


def _ledger_line(intake: IntakeMinute) -> str:
    return msgspec.json.encode(
        {
            "minute": minute_key(intake.minute),
            "built_at": intake.built_at,
            "touched_minutes": [minute_key(minute) for minute in intake.touched_minutes],
            "touched_days": [day_key(day) for day in intake.touched_days],
        }
    ).decode()
