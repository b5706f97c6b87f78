"""A model that is there already, for as long as nothing it would be learned from has changed.

How it is learned is `fitting.py`. Judging goes on however old a model is: see `life.py`.

    anomaly_models/dt=YYYY-MM-DD/learned.json       the version that was learned last, and of what
"""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import structlog

from iot_pipeline.anomalies.models.fitting import BUDGET, Fitted, fit_day
from iot_pipeline.anomalies.models.history import MOST_DAYS, MOST_ROWS, day_files
from iot_pipeline.anomalies.models.model import REVISION, digest_of, digests
from iot_pipeline.anomalies.models.store import keep, load, read_manifest
from iot_pipeline.anomalies.precision import confirmed_spans, threshold_factors
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.errors import DataError
from iot_pipeline.files import stamp, write_bytes
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import dim_device_file, published_file

# Readings of machines that tell their state are learned from too: where they change, these are built again.
_MARTS = ("machine_state_hour", "machine_start", "valve_travel_day")

log = structlog.get_logger(__name__)


class _Learned(msgspec.Struct, frozen=True):
    """What `learned.json` says."""

    inputs: str
    version: str


def model_of(settings: Settings, day: date) -> Fitted | None:
    """The stored model of `day`: learned and stored now if its inputs changed since it was; None without any.

    Raises:
        StorageUnavailable: nothing was stored.
    """
    paths = settings.paths
    # Before learning: what changes meanwhile is learned from by the next call.
    inputs = fingerprint(paths, day)
    if (kept := _kept(paths, day, inputs)) is not None:
        log.info("model reused", day=str(day), version=kept.manifest.version)
        return kept
    fitted = fit_day(settings, day)
    if fitted is not None:
        keep(paths, fitted.model, fitted.manifest)
        write_bytes(msgspec.json.encode(_Learned(inputs, fitted.manifest.version)), _file(paths, day))
    return fitted


def fingerprint(paths: DataPaths, day: date) -> str:
    """A digest of all that the model of `day` is learned from, at the cost of looking at files and not into them.

    Files are told by size, time and inode, as they are only ever replaced. Devices and what people said are looked
    at, since their files change all the time with things that no model knows of.
    """
    found = hashlib.sha256()
    for part in _inputs(paths, day):
        found.update(msgspec.json.encode(part))
        found.update(b"\n")
    return found.hexdigest()


def _inputs(paths: DataPaths, day: date) -> Iterator[object]:
    yield REVISION, BUDGET, MOST_DAYS, MOST_ROWS
    first = day - MOST_DAYS * DAY
    for learned in (first + offset * DAY for offset in range(MOST_DAYS)):
        marts = [published_file(paths, model, learned) for model in _MARTS]
        for path in (*day_files(paths, learned), *marts):
            yield path.relative_to(paths.root).as_posix(), stamp(path)
    devices = dim_device_file(paths)
    if devices.exists():
        classes = pl.read_parquet(devices, columns=["device_id", "fleet", "type"], hive_partitioning=False)
        yield digest_of(classes.sort(pl.all()))
    yield digest_of(confirmed_spans(paths, day_start(first), day_start(day) - MINUTE))
    yield digest_of(threshold_factors(paths))


def _kept(paths: DataPaths, day: date, inputs: str) -> Fitted | None:
    """The model that was learned from `inputs`, if it is there as it was written."""
    try:
        learned = msgspec.json.decode(_file(paths, day).read_bytes(), type=_Learned)
        if learned.inputs != inputs:
            return None
        manifest = read_manifest(paths, day, learned.version)
        model = load(paths, day, learned.version)
    except (FileNotFoundError, msgspec.DecodeError, DataError):
        return None
    return Fitted(model, manifest) if digests(model) == manifest.tables else None


def _file(paths: DataPaths, day: date) -> Path:
    return day_folder(paths.models, day) / "learned.json"
