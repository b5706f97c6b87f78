"""Models on disk: plain Parquet tables under the name of their contents, and which of them scores.

    anomaly_models/dt=YYYY-MM-DD/v=<version>/{series,classes,inputs,channels,
        states,starts,changes,strokes}.parquet, manifest.json
    anomaly_models/dt=YYYY-MM-DD/promoted.json      the version of that day whose checks passed
    anomaly_models/models.parquet                   all of them, a row each: the view people query
    anomaly_models/promotions.jsonl                 each promotion and withdrawal ever, appended

A version is a function of its contents, so writing it again changes nothing. A minute is scored with the newest
promoted model of its day or before: what is stored decides it, not when it is asked.
"""

import shutil
import uuid
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

import msgspec
import polars as pl
from filelock import FileLock

from iot_pipeline.anomalies.models.channels import CHANNEL_SCHEMA
from iot_pipeline.anomalies.models.machines import read_machines
from iot_pipeline.anomalies.models.model import Manifest, MinuteModel, digests
from iot_pipeline.clock import parse_day, utc_now
from iot_pipeline.errors import DataError, StorageUnavailable
from iot_pipeline.files import append_line, fsync_folder, write_bytes, write_parquet
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.stats.relations import MODELS_SCHEMA, models_file


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        name: of the check.
        passed: whether the model may score as far as this check goes.
        said: one sentence with the figures.
        figure: the figure itself, where there is one.
        limit: what it must not pass.
    """

    name: str
    passed: bool
    said: str
    figure: float | None = None
    limit: float | None = None


class Change(StrEnum):
    """What a line of the journal tells."""

    PROMOTED = "promoted"
    WITHDRAWN = "withdrawn"


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A model began to score minutes from its day on, or stopped; `at` is UTC."""

    at: datetime
    day: date
    version: str
    change: Change
    verdicts: tuple[Verdict, ...]


def model_folder(paths: DataPaths, day: date, version: str) -> Path:
    """Where a model lies, whether it is there or not."""
    return day_folder(paths.models, day) / f"v={version}"


def pointer_file(paths: DataPaths, day: date) -> Path:
    """Which model of `day` scores; not there while none does."""
    return day_folder(paths.models, day) / "promoted.json"


def journal_file(paths: DataPaths) -> Path:
    """All promotions and withdrawals, oldest first."""
    return paths.models / "promotions.jsonl"


def keep(paths: DataPaths, model: MinuteModel, manifest: Manifest) -> Path:
    """Store a model; one that is there already stays, unless it is not as it was written. Returns its folder.

    Raises:
        StorageUnavailable: nothing was stored.
    """
    folder = model_folder(paths, manifest.day, manifest.version)
    if (folder / "manifest.json").exists() and _is_sound(paths, manifest):
        return folder
    building = folder.with_name(f"building-{uuid.uuid4().hex[:12]}")
    try:
        building.mkdir(parents=True)
        for name, table in model.tables().items():
            write_parquet(table, building / f"{name}.parquet")
        write_bytes(msgspec.json.format(msgspec.json.encode(manifest)), building / "manifest.json")
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
        fsync_folder(folder.parent)
    except OSError as error:
        raise StorageUnavailable(
            f"cannot store the model of {manifest.day} in {folder}: {error.strerror or error}; minutes are scored with "
            "the model promoted before. Check free space and permissions with `iot doctor`."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def load(paths: DataPaths, day: date, version: str) -> MinuteModel:
    """The tables of a stored model.

    Raises:
        DataError: the model is not there, or not as it was written.
    """
    folder = model_folder(paths, day, version)
    try:
        series, classes, inputs = (
            pl.read_parquet(folder / f"{name}.parquet", hive_partitioning=False)
            for name in ("series", "classes", "inputs")
        )
        path = folder / "channels.parquet"
        # Models of before the channels have none, and go on scoring.
        channels = (
            pl.read_parquet(path, hive_partitioning=False) if path.exists() else pl.DataFrame(schema=CHANNEL_SCHEMA)
        )
        machines = read_machines(folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{folder} cannot be read ({error}); nothing was scored with it. Materialize `anomaly_model` of {day} "
            "again: it is learned from the same days and comes out the same."
        ) from error
    return MinuteModel(series, classes, inputs, channels, machines)


def read_manifest(paths: DataPaths, day: date, version: str) -> Manifest:
    """What a stored model is. Raises DataError as `load` does."""
    path = model_folder(paths, day, version) / "manifest.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); materialize `anomaly_model` of {day} again.") from error


def is_whole(paths: DataPaths, manifest: Manifest) -> bool:
    """Whether the stored tables are those that the version names."""
    return digests(load(paths, manifest.day, manifest.version)) == manifest.tables


def _is_sound(paths: DataPaths, manifest: Manifest) -> bool:
    try:
        return is_whole(paths, manifest)
    except DataError:
        return False


def manifests(paths: DataPaths) -> list[Manifest]:
    """Of all stored models, by day; of one day the newest last."""
    found = sorted(paths.models.glob("dt=*/v=*/manifest.json"), key=lambda path: (path.parts[-3], path.stat().st_mtime))
    return [msgspec.json.decode(path.read_bytes(), type=Manifest) for path in found]


def promote(paths: DataPaths, manifest: Manifest, verdicts: tuple[Verdict, ...]) -> bool:
    """Let the model score if all verdicts passed, else stop it if it did; whether it scores now.

    A model that fails does not touch another version of its day that was promoted before.

    Raises:
        StorageUnavailable: the pointer is as it was before.
    """
    pointer = pointer_file(paths, manifest.day)
    paths.models.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.models / "promotions.lock"):
        before = promoted_on(paths, manifest.day)
        passed = bool(verdicts) and all(verdict.passed for verdict in verdicts)
        own = before is not None and before.version == manifest.version
        if passed == own:
            return passed
        if not passed and not own:
            return False
        change = Change.PROMOTED if passed else Change.WITHDRAWN
        told = Promotion(at=utc_now(), day=manifest.day, version=manifest.version, change=change, verdicts=verdicts)
        append_line(journal_file(paths), msgspec.json.encode(told).decode())
        if passed:
            write_bytes(msgspec.json.encode(told), pointer)
        else:
            pointer.unlink()
            fsync_folder(pointer.parent)
    return passed


def list_models(paths: DataPaths) -> None:
    """Write the list of models that people query: one row a model (MODELS_SCHEMA)."""
    rows = []
    for one in manifests(paths):
        promotion = promoted_on(paths, one.day)
        scores = promotion is not None and promotion.version == one.version
        at = promotion.at if promotion is not None and scores else None
        known = (one.minutes, one.left_out, one.series, one.ready, one.learning, one.classes, one.budget)
        rows.append((one.day, one.version, scores, at, one.first, one.last, *known))
    write_parquet(pl.DataFrame(rows, schema=MODELS_SCHEMA, orient="row"), models_file(paths))


def promoted_on(paths: DataPaths, day: date) -> Promotion | None:
    """The promotion of the model of exactly that day. Raises DataError when the record cannot be read."""
    pointer = pointer_file(paths, day)
    try:
        return msgspec.json.decode(pointer.read_bytes(), type=Promotion)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataError(
            f"{pointer} cannot be read ({error}); nothing is scored. "
            f"Delete it and materialize `anomaly_model` of {day}."
        ) from error


def promoted_for(paths: DataPaths, day: date) -> Promotion | None:
    """The promotion that minutes of `day` are scored with: the newest of that day or before; None while learning."""
    days = sorted(parse_day(path.parent.name.removeprefix("dt=")) for path in paths.models.glob("dt=*/promoted.json"))
    earlier = [one for one in days if one <= day]
    return promoted_on(paths, earlier[-1]) if earlier else None


def promotions(paths: DataPaths) -> list[Promotion]:
    """All that was ever promoted or withdrawn, in order; a torn last line was never in force."""
    try:
        lines = journal_file(paths).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Promotion) for line in lines if line.endswith(b"\n")]
