"""Machines with several channels: what is found and falsely flagged on simulated ice plants, and what a minute costs.

The plants' means by minute are made here from the simulator's own values, one in ten seconds; a week is learned and the
day after it is scored, once as it is and once for each fault. The fleet of the minute is copies of one learned plant,
in a process of its own, so that the peak of memory is its own.
"""

import os
import resource
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels.minutes import WINDOW
from iot_pipeline.anomalies.detectors import ScoringWindow
from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.anomalies.detectors.numbering import SERIES, Directory
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.members import LOOKBACK, tell
from iot_pipeline.anomalies.models.scoring.channels import BEFORE, LearnedChannels
from iot_pipeline.anomalies.models.scoring.minutes import LearnedMinutes
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, device_minute_tree
from iot_pipeline.trees import PARTITION_MINUTE
from sensors_sim.fleet import to_us
from sensors_sim.ice_plant import DEVICES, METRIC, device_id
from sensors_sim.shapes import SECOND_US
from tests.bench.figures import Figure

MONDAY = date(2026, 11, 2)
LEARNED_DAYS = 7
PLANTS = int(os.environ.get("IOT_BENCH_PLANTS", "6"))
MACHINES = int(os.environ.get("IOT_BENCH_MACHINES", "100000"))
EVERY_S = 10
LASTS = 240
"""Minutes of a fault."""

SHARES = (0.2, 0.3, 0.5)
"""Sizes of faults, of the range of their channel in the week."""


def channels(folder: Path) -> list[Figure]:
    """All figures of this part."""
    return [*_quality(folder / "channels"), *_minute()]


def _quality(data: Path) -> list[Figure]:
    false, minutes, found, single, guilty = 0, 0, dict.fromkeys(SHARES, 0), dict.fromkeys(SHARES, 0), []
    for seed in range(1, PLANTS + 1):
        own = _Plant(data / str(seed), seed)
        flags = own.flags(own.today)
        false += int((flags["minute"].diff().fill_null(DAY) > 30 * MINUTE).sum())
        minutes += flags.height
        for share in SHARES:
            for channel in range(len(DEVICES)):
                faulty, when = own.faulty(channel, share)
                inside = own.flags(faulty).filter(pl.col("minute").is_between(*when))
                found[share] += inside.height > 0
                guilty += (inside["device_id"] == own.series["device_id"][channel]).to_list()
                single[share] += own.flagged_alone(faulty, channel, when)
    faults = PLANTS * len(DEVICES)
    days = f"{PLANTS} plants of {len(DEVICES)} channels, {LEARNED_DAYS} days learned, one scored"
    return [
        Figure(
            "multichannel false alerts a plant-day", false / PLANTS, "", at_most=0.1, note=f"{days}, {minutes} flags"
        ),
        *(
            Figure(
                f"multichannel recall, {share:.0%} of the range",
                found[share] / faults,
                "",
                note=f"{faults} faults within the range of their channel; other types found {single[share]}",
            )
            for share in SHARES
        ),
        Figure("flags that name the right channel", float(np.mean(guilty)), "", note=f"{len(guilty)} flags"),
    ]


class _Plant:
    """A simulated plant: learned, and a day of it to score."""

    def __init__(self, data: Path, seed: int) -> None:
        settings = load_settings(data=data)
        start = to_us(day_start(MONDAY))
        instants = range(start, start + (LEARNED_DAYS + 1) * 86_400 * SECOND_US, EVERY_S * SECOND_US)
        values = np.array([[device.value(seed, at) for at in instants] for device in DEVICES])
        means = values.reshape(len(DEVICES), -1, 60 // EVERY_S).mean(axis=2)
        self.series = pl.DataFrame(
            [(device_id(device.name), METRIC, device.unit) for device in DEVICES], schema=list(SERIES), orient="row"
        )
        past = means[:, : LEARNED_DAYS * 1440]
        for offset in range(LEARNED_DAYS):
            _write_day(data, MONDAY + offset * DAY, self.series, past[:, offset * 1440 : (offset + 1) * 1440])
        fitted = fit_day(settings, MONDAY + LEARNED_DAYS * DAY)
        assert fitted is not None
        self.model = fitted.model
        self.scorer = LearnedChannels(fitted.model.channels, "bench")
        self.low, self.high = past.min(axis=1), past.max(axis=1)
        self.today = means[:, LEARNED_DAYS * 1440 - LOOKBACK :]
        self._single = LearnedMinutes(fitted.model, "bench", settings.paths)
        self._random = np.random.default_rng(seed)

    def _grid(self, means: np.ndarray, before: int) -> Grid:
        first = day_start(MONDAY + LEARNED_DAYS * DAY) - before * MINUTE
        return Grid(self.series, first, MINUTE, means[:, LOOKBACK - before :])

    def flags(self, means: np.ndarray) -> pl.DataFrame:
        order = self.scorer.channels.join(self.series.with_row_index("row"), on=SERIES, maintain_order="left")["row"]
        return self.scorer.flags(self._grid(means[order], BEFORE // MINUTE), self.scorer.channels)

    def faulty(self, channel: int, share: float) -> tuple[np.ndarray, tuple[datetime, datetime]]:
        """The channel moves away within two hours and stays, but not beyond where it was in the week."""
        begin = int(self._random.integers(1440 - LASTS))
        means = self.today.copy()
        fault = means[channel, LOOKBACK + begin : LOOKBACK + begin + LASTS]
        size = share * (self.high - self.low)[channel] * self._random.choice([-1, 1])
        fault += size * np.minimum(np.arange(LASTS) / (LASTS / 2), 1)
        np.clip(fault, self.low[channel], self.high[channel], out=fault)
        first = day_start(MONDAY + LEARNED_DAYS * DAY) + begin * MINUTE
        return means, (first, first + LASTS * MINUTE)

    def flagged_alone(self, means: np.ndarray, channel: int, when: tuple[datetime, datetime]) -> bool:
        """Whether a detector of single series flags the channel."""
        grid = self._grid(means, LOOKBACK)
        table = self.series.join(self._single.parameters(self.series), on=SERIES, maintain_order="left")
        told = tell(grid, table, slice(LOOKBACK, None), silent=np.zeros(1440, np.bool_))
        first = round((when[0] - grid.start) / MINUTE) - LOOKBACK
        return any(bool((one.level[channel, first : first + LASTS] >= 1).any()) for one in told)


def _write_day(data: Path, day: date, series: pl.DataFrame, means: np.ndarray) -> None:
    minutes = [day_start(day) + number * MINUTE for number in range(1440)]
    mean = pl.Series("mean", means.ravel())
    rows = series.with_columns(pl.lit(minutes).alias("minute")).explode("minute").with_columns(mean, count=pl.lit(6))
    same = dict.fromkeys(("min", "max", "first", "last", "p50", "p95"), pl.col("mean"))
    with device_minute_tree(load_settings(data=data).paths).sealed.publishing(day) as building:
        rows.with_columns(**same, stddev=pl.lit(0.1)).select(
            pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items()
        ).with_columns(pl.col("minute").alias(PARTITION_MINUTE)).write_parquet(building / "part-000.parquet")


def _minute() -> list[Figure]:
    command = [sys.executable, "-m", "tests.bench.channels"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900).stdout.split()
    wall, cpu, memory = (float(word) for word in told[-3:])
    note = f"{MACHINES} machines x {len(DEVICES)} channels, one minute; means of the last {WINDOW} minutes in memory"
    return [
        Figure("channels of a minute", wall, "s", note=note),
        Figure("the same, CPU", cpu, "s"),
        Figure("the same, peak memory", memory, "GB", note="with model and minutes"),
    ]


def _score() -> None:
    """In the process of its own: seconds, CPU seconds, gigabytes."""
    count = len(DEVICES)
    rng = np.random.default_rng(1)
    weights = np.where(np.eye(count) > 0, 0.0, 1 / (count - 1))
    channels = pl.DataFrame(
        {
            "number": np.repeat(np.arange(MACHINES), count),
            "device_id": pl.Series([f"plant-{number:07d}" for number in range(MACHINES)]).repeat_by(count).explode(),
            "channel": np.tile(np.arange(count), MACHINES),
            "weights": pl.Series(np.tile(weights, (MACHINES, 1))).cast(pl.List(pl.Float64)),
        }
    ).with_columns(
        machine=pl.col("device_id"),
        metric=pl.format("channel_{}", "channel"),
        unit=pl.lit("bar"),
        centre=pl.lit(20.0),
        spread=pl.lit(1.0),
        usual=pl.lit(0.5),
        lowest=pl.lit(10.0),
        highest=pl.lit(30.0),
        threshold=pl.lit(3.0),
    )
    load = rng.normal(20, 1, (WINDOW, MACHINES)).repeat(count, axis=1)
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    grids = MinuteGrids(Directory(channels.select(SERIES)), now, {"mean": load + rng.normal(0, 0.1, load.shape)})
    window = ScoringWindow(
        readings=pl.DataFrame(schema=READING_SCHEMA),
        minutes=pl.DataFrame(schema=DEVICE_MINUTE_SCHEMA),
        first=now,
        last=now,
        grids=grids,
    )
    scorer = LearnedChannels(channels, "bench")
    start, cpu = time.perf_counter(), time.process_time()
    scorer.score(window)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


if __name__ == "__main__":
    _score()
