"""Real and awkward files, played over MQTT into the running product with their own event times, add up exactly."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.stats.lateness import read_touches
from iot_pipeline.stats.published import published_day
from tests.product.live import Live

WEATHER = PROJECT_ROOT.parent / "shared" / "datasets" / "noaa_nycflights13" / "weather.csv"
# From sending to the day's statistics: closing of the minute, decoding, the late-days sensor, the day chain.
PUBLISHED_SECONDS = 240
FIGURES = ("count", "min", "max", "mean")
pytestmark = [pytest.mark.usefixtures("first_minute"), pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Played:
    """A file that was replayed, and what it holds by a reading of its own: keep-first, nulls left out."""

    dataset: str
    rows: int
    nulls: int
    days: pl.DataFrame
    """day, device_id, metric, count, min, max, mean."""


def _awkward(live: Live, folder: Path) -> Played:
    """Local times over the night when clocks were set back, nulls in two spellings, and rows told twice."""
    start = pl.datetime(2024, 10, 26, 20, time_zone="UTC")
    truth = (
        pl.select(at=pl.datetime_range(start, start + timedelta(hours=8), "10m"))
        .with_row_index("step")
        .join(pl.DataFrame({"meter": ["north", "south"]}), how="cross")
        .with_columns(
            power=(pl.col("step") * 1.25 + pl.col("meter").str.len_chars()).cast(pl.String),
            flow=pl.when(pl.col("step") % 7 == 0)
            .then(pl.lit("NA"))
            .when(pl.col("step") % 11 == 0)
            .then(pl.lit(""))
            .otherwise((pl.col("step") / 3).cast(pl.String)),
        )
    )
    # Not in the doubled hour, where a repetition is told apart from the hour by nothing.
    twice = truth.filter(pl.col("step") < 6).with_columns(power=pl.lit("999"))
    told = pl.concat([truth, twice])
    local = pl.col("at").dt.convert_time_zone("Europe/Berlin").dt.strftime("%Y-%m-%d %H:%M:%S")
    path = folder / "awkward.csv"
    told.select("meter", local.alias("time"), "power", "flow").write_csv(path)
    _play(live, path, "{meter}", "awkward", told.height, "--zone", "Europe/Berlin")
    return Played("awkward", told.height, _nulls(told, ["power", "flow"]), _days(told, "awkward", "meter", "at"))


def _weather(live: Live) -> Played:
    """A year of hourly weather at three airports."""
    rows = pl.read_csv(WEATHER, infer_schema=False)
    _play(live, WEATHER, "{origin}", "nyc", rows.height)
    timed = rows.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC"))
    columns = [name for name in rows.columns if name not in ("origin", "time_hour")]
    return Played("nyc", rows.height, _nulls(rows, columns), _days(timed, "nyc", "origin", "time_hour"))


@pytest.fixture(scope="module")
def sent(live: Live, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """Both files, sent before the first is waited for: their days are then built together."""
    files = [_awkward(live, tmp_path_factory.mktemp("awkward"))]
    if WEATHER.exists():
        files.append(_weather(live))
    return {file.dataset: file for file in files}


@pytest.fixture(scope="module", params=["awkward", "nyc"])
def played(request: pytest.FixtureRequest, live: Live, sent: dict[str, Played]) -> Played:
    """A file whose days are published, all of them after their last change."""
    if request.param not in sent:
        pytest.skip(f"{WEATHER} is not there")
    file = sent[request.param]
    days: list[date] = file.days["day"].unique().to_list()

    def published() -> bool:
        touches, _ = read_touches(live.paths, 0)
        changed = {day: touch.built_at for touch in touches for day in touch.days}
        done = {day: published_day(live.paths, day) for day in days}
        return all(day in changed and (at := done[day]) is not None and at >= changed[day] for day in days)

    live.wait(published, f"{len(days)} days of {file.dataset}", seconds=PUBLISHED_SECONDS)
    return file


def test_days_are_those_of_the_file(live: Live, played: Played) -> None:
    found = live.query(
        'select day, device_id, metric, "count", min, max, mean from device_day where starts_with(device_id, ?)',
        f"{played.dataset}/",
    )
    keys = ["day", "device_id", "metric"]
    both = played.days.join(found, on=keys, how="full", suffix="_found", coalesce=True)
    assert found.height == played.days.height
    assert both.null_count().sum_horizontal().item() == 0, both.filter(pl.any_horizontal(pl.all().is_null()))
    for figure in FIGURES:
        error = (pl.col(figure) - pl.col(f"{figure}_found")).abs()
        wrong = both.filter(error > 1e-9 * pl.max_horizontal(1.0, pl.col(figure).abs()))
        assert wrong.is_empty(), (figure, wrong)


def test_every_row_landed_and_every_null_is_accounted_for(live: Live, played: Played) -> None:
    landed = pl.scan_parquet(live.paths.landing / "dt=*" / "hm=*" / "*.parquet", hive_partitioning=True).filter(
        pl.col("topic").str.starts_with(f"replay/{played.dataset}/")
    )
    assert landed.select(pl.len()).collect().item() == played.rows
    # Replays share minutes with the fleets, whose messages hold no nulls, and with each other: so count all of them.
    nulls = pl.scan_parquet(live.paths.landing / "dt=*" / "hm=*" / "*.parquet").filter(
        pl.col("topic").str.starts_with("replay/")
    )
    in_payloads = nulls.select(pl.col("payload").cast(pl.String).str.count_matches(":null").sum()).collect().item()
    of_this = landed.select(pl.col("payload").cast(pl.String).str.count_matches(":null").sum()).collect().item()
    assert of_this == played.nulls
    assert live.query("select sum(null_fields) from intake").item() == in_payloads


def _play(live: Live, path: Path, device: str, dataset: str, rows: int, *options: str) -> None:
    done = live.command("replay", str(path), "--device", device, "--dataset", dataset, "--speed", "0", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"\b{rows} rows, {rows} messages acknowledged", done.stdout), done.stdout


def _nulls(rows: pl.DataFrame, columns: list[str]) -> int:
    return int(rows.select(pl.col(columns).is_in(["NA", ""]).sum()).sum_horizontal().item())


def _days(rows: pl.DataFrame, dataset: str, device: str, time: str) -> pl.DataFrame:
    """Statistics by day, made from the file alone."""
    columns = [name for name in rows.columns if name not in (device, time, "step")]
    numbers = rows.unpivot(columns, index=[device, time], variable_name="metric")
    return (
        numbers.with_columns(pl.col("value").cast(pl.Float64, strict=False))
        .drop_nulls("value")
        .unique([device, time, "metric"], keep="first", maintain_order=True)
        .group_by(
            pl.col(time).dt.date().alias("day"),
            (pl.lit(f"{dataset}/") + pl.col(device)).alias("device_id"),
            pl.col("metric"),
        )
        .agg(
            pl.col("value").len().cast(pl.Int64).alias("count"),
            pl.col("value").min().alias("min"),
            pl.col("value").max().alias("max"),
            pl.col("value").mean().alias("mean"),
        )
        .sort("day", "device_id", "metric")
    )
