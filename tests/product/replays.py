"""Files that are replayed into the running product, and what they hold by a reading of their own."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.paths import PROJECT_ROOT
from tests.product.live import Live

WEATHER = PROJECT_ROOT.parent / "shared" / "datasets" / "noaa_nycflights13" / "weather.csv"


@dataclass(frozen=True, slots=True)
class Played:
    """A file that was replayed, and what it holds by a reading of its own: keep-first, nulls left out."""

    dataset: str
    rows: int
    nulls: int
    days: pl.DataFrame
    """day, device_id, metric, count, min, max, mean."""


def play_awkward(live: Live, folder: Path) -> Played:
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


def play_weather(live: Live, folder: Path) -> Played:
    """Five weeks of hourly weather at three airports, across a month; a year takes minutes longer and shows no more."""
    rows = pl.read_csv(WEATHER, infer_schema=False).filter(pl.col("time_hour") < "2013-02-05")
    path = folder / "weather.csv"
    rows.write_csv(path)
    _play(live, path, "{origin}", "nyc", rows.height)
    timed = rows.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC"))
    columns = [name for name in rows.columns if name not in ("origin", "time_hour")]
    return Played("nyc", rows.height, _nulls(rows, columns), _days(timed, "nyc", "origin", "time_hour"))


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
