"""Readings of the simulated line as frames, as the marts and the functions both take them."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from iot_pipeline.clock import day_start
from sensors_sim.fleet import from_us
from sensors_sim.industrial_line import IndustrialLine
from tests.stats.world import Row

# A Tuesday: nobody rests.
THE_DAY = date(2026, 10, 27)
BEGIN = day_start(THE_DAY) + timedelta(hours=9, minutes=40)
UNITS = {"current_l1": "A", "current_l2": "A", "current_l3": "A", "v_rms": "mm/s", "a_peak": "g"}


def line_rows(minutes: int, *, begin: datetime = BEGIN, seed: int = 4) -> list[Row]:
    """What line_1 tells for `minutes` from `begin` on, with half a minute of silence after half an hour."""
    line = IndustrialLine(seed=seed, start=begin)
    silent = begin + timedelta(minutes=30)
    rows = []
    for step in range(minutes * 120):
        for frame in line.frames(begin + step * timedelta(seconds=0.5)):
            for reading in frame.readings:
                ts = from_us(reading.at_us)
                number = reading.value if isinstance(reading.value, float) else None
                text = reading.value if isinstance(reading.value, str) else None
                unit = None if text else UNITS.get(reading.metric, "ms")
                if not silent <= ts < silent + timedelta(seconds=30):
                    rows.append(Row(ts, number, reading.device_id, reading.metric, unit, text=text))
    return rows


def frame_of(rows: list[Row]) -> pl.DataFrame:
    """device_id, metric, unit, ts, value, text."""
    return pl.DataFrame(
        [(row.device_id, row.metric, row.unit, row.event_ts.astimezone(UTC), row.value, row.text) for row in rows],
        schema={
            "device_id": pl.String,
            "metric": pl.String,
            "unit": pl.String,
            "ts": pl.Datetime("us", "UTC"),
            "value": pl.Float64,
            "text": pl.String,
        },
        orient="row",
    )


def states_of(frame: pl.DataFrame) -> pl.DataFrame:
    """device_id, ts, state."""
    return frame.filter(pl.col("metric") == "state").select("device_id", "ts", pl.col("text").alias("state"))


def currents_of(frame: pl.DataFrame) -> pl.DataFrame:
    """device_id, ts, current: the mean of the phases, where all three were read."""
    phases = [f"current_l{phase}" for phase in (1, 2, 3)]
    wide = frame.filter(pl.col("metric").is_in(phases)).pivot(on="metric", index=["device_id", "ts"], values="value")
    mean = (pl.col(phases[0]) + pl.col(phases[1]) + pl.col(phases[2])) / 3
    return wide.drop_nulls(phases).select("device_id", "ts", mean.alias("current"))
