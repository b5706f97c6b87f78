"""A backlog of landed minutes: how long until it is built, and in how many runs."""

import time
from datetime import datetime, timedelta
from pathlib import Path

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.published import newest_minute
from sensors_sim.fleet import SampledFleet
from sensors_sim.registry import FLEETS, build_fleet
from tests.bench.figures import Figure
from tests.bench.instance import running


def backlog(folder: Path, minutes: int) -> list[Figure]:
    """Land `minutes` minutes of the five fleets, then start the product and wait until they are built."""
    data = folder / "backlog"
    last = floor_minute(utc_now()) - 2 * MINUTE
    readings = land(data, last - (minutes - 1) * MINUTE, last)
    with running(data, "--no-simulator") as instance:
        began = time.monotonic()
        paths = DataPaths(data)
        while (newest := newest_minute(paths)) is None or newest < last:
            if time.monotonic() - began > 1800:
                raise RuntimeError(f"only built to {newest} after 30 minutes")
            time.sleep(1)
        seconds = time.monotonic() - began
        runs = [run for run in instance.runs() if run.job == "minute_chain"]
    return [
        Figure(f"backlog of {minutes} minutes, wall", seconds, "s", 600, f"{readings} messages"),
        Figure(f"backlog of {minutes} minutes, runs", len(runs), "", 10),
    ]


def land(data: Path, first: datetime, last: datetime) -> int:
    """Write landing batches as the collector would have, a minute each; returns the number of messages."""
    settings = load_settings(data=data)
    writer = BatchWriter(settings.paths, "collector-1", intake_delay=settings.intake_delay)
    fleets = [build_fleet(name, seed=1, start=first) for name in FLEETS]
    total = 0
    instant = first
    while instant <= last + MINUTE:
        messages = [message for fleet in fleets for message in _minute(fleet, instant)]
        messages.sort(key=lambda message: message.received_at)
        writer.write(messages)
        total += len(messages)
        instant += MINUTE
    return total


def _minute(fleet: SampledFleet, start: datetime) -> list[Message]:
    # A fleet skips what is more than a second old, so it is asked twice a second.
    return [
        Message(
            received_at=sent.due,
            source="mqtt",
            topic=sent.topic,
            payload=sent.payload,
            qos=sent.qos,
            retain=sent.retain,
        )
        for step in range(120)
        for sent in fleet.messages(start + step * timedelta(seconds=0.5))
    ]
