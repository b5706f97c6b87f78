"""The real application on a real server on a free port, and a small world of published figures to ask about."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import polars as pl

from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import QUARANTINE_SCHEMA
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.server import make_server, make_web
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    EVENT_SCHEMA,
    FLAGS_SCHEMA,
    device_minute_tree,
    dim_device_file,
    events_file,
    flags_tree,
    minute_trees,
    prepare_relations,
    published_file,
)

DAY = date(2026, 11, 20)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
PROBLEM = "application/problem+json"


class Served(httpx.Client):
    """A client of an application that serves. What `before_stop` is given is done while it still does."""

    def __init__(self, address: str, before_stop: ExitStack, headers: dict[str, str]) -> None:
        super().__init__(base_url=address, headers=headers, timeout=20)
        self.before_stop = before_stop


@contextmanager
def serving(settings: Settings, live: LiveView, *, port: int = 0, **headers: str) -> Iterator[Served]:
    """A client of the application, which serves in a thread until the end of the block."""
    listening = socket.create_server(("127.0.0.1", port))
    server = make_server(make_web(settings, live))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with ExitStack() as before_stop, Served(address, before_stop, headers) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    content: dict[str, Any] = json.loads(answer.content)
    assert {"type", "title", "status", "detail", "instance"} <= set(content)
    assert content["status"] == status
    assert content["type"].startswith("urn:iot-pipeline:problem:")
    return content


def statistics(period: str, start: object, device: str, unit: str | None, value: float) -> dict[str, object]:
    """A row of `device_<period>` for the metric `t`."""
    figures = {"count": 3, "min": value, "max": value, "mean": value, "stddev": 0.0, "first": value, "last": value}
    return {period: start, "device_id": device, "metric": "t", "unit": unit, **figures, "p50": value, "p95": value}


def publish_world(paths: DataPaths, devices: tuple[str, ...]) -> None:
    """A day of hours and of the minutes from 10:00 to 10:09, with two flags and something in quarantine."""
    prepare_relations(paths)
    minutes = device_minute_tree(paths)
    ten = MIDNIGHT + timedelta(hours=10)
    for index in range(10):
        minute = ten + timedelta(minutes=index)
        rows = [statistics("minute", minute, device, "°C", float(index)) for device in sorted(devices)]
        rows += [statistics("minute", minute, device, None, -1.0) for device in sorted(devices)]
        minutes.write(minute, pl.DataFrame(rows, schema=minutes.schema))
    models = {model.name: model for model in DAY_MODELS}
    hours = [
        statistics("hour", MIDNIGHT + timedelta(hours=index), device, "°C", float(index))
        for device in sorted(devices)
        for index in range(24)
    ]
    write_parquet(pl.DataFrame(hours, schema=models["device_hour"].schema), published_file(paths, "device_hour", DAY))
    days = [statistics("day", DAY, device, "°C", 1.0) for device in sorted(devices)]
    write_parquet(pl.DataFrame(days, schema=models["device_day"].schema), published_file(paths, "device_day", DAY))
    publish_devices(paths, devices)
    flags = flags_tree(paths)
    flags.write(ten, pl.DataFrame([flag(ten, devices[0], 2.0), flag(ten, devices[1], 3.0)], schema=FLAGS_SCHEMA))
    quarantine = minute_trees(paths)["quarantine"]
    unread = {"received_at": ten, "topic": "a/b", "payload": b"?", "payload_size": 1, "reason": "bad_json"}
    quarantine.write(ten, pl.DataFrame([{**unread, "message_id": "c-1-0"}], schema=QUARANTINE_SCHEMA))


def publish_devices(paths: DataPaths, devices: tuple[str, ...]) -> None:
    """Replace the device dimension."""
    rows = [
        {"device_id": device, "fleet": "weather", "attributes": "{}", "first_seen": MIDNIGHT, "last_seen": MIDNIGHT}
        for device in sorted(devices)
    ]
    write_parquet(pl.DataFrame(rows, schema=DIM_DEVICE_SCHEMA), dim_device_file(paths))


def flag(minute: datetime, device: str, score: float) -> dict[str, object]:
    """A row of `anomaly_flags`, five seconds into its minute."""
    return {
        "minute": minute,
        "event_ts": minute + timedelta(seconds=5),
        "device_id": device,
        "metric": "t",
        "unit": "°C",
        "value": 99.0,
        "detector": "rolling_z",
        "detector_version": "1",
        "score": score,
        "expected_low": 10.0,
        "expected_high": 20.0,
        "reason": "far above what is usual",
    }


def event(event_id: str, opened_at: datetime, device: str, **changes: object) -> dict[str, object]:
    """A row of `anomaly_events`: a closed spike of twelve minutes, whose strangest reading is in its middle."""
    lasting = timedelta(minutes=12)
    row = {
        "event_id": event_id,
        "revision": 1,
        "status": "closed",
        "opened_at": opened_at,
        "last_flag_at": opened_at + lasting,
        "closed_at": opened_at + 2 * lasting,
        "device_id": device,
        "metric": "t",
        "unit": "°C",
        "type": "spike",
        "severity": "warning",
        "flags": 34,
        "score": 2.5,
        "peak_at": opened_at + lasting / 2,
        "value": 99.0,
        "expected_low": 10.0,
        "expected_high": 20.0,
        "detector": "rolling_z",
        "detector_version": "1",
        "reason": "far above what is usual",
        "sentence": f"{device} t: far above what is usual; 34 readings in 12 min",
        "continues": False,
        "first_message_id": None,
        "peak_message_id": None,
    }
    return {**row, **changes}


def publish_events(paths: DataPaths, *rows: dict[str, object]) -> None:
    """Write the events of the days on which these opened."""
    frame = pl.DataFrame(rows, schema=EVENT_SCHEMA)
    for (day,), of_day in frame.group_by(pl.col("opened_at").dt.date()):
        assert isinstance(day, date)
        write_parquet(of_day.sort("opened_at"), events_file(paths, day))


def tree_of(paths: DataPaths) -> dict[str, bytes]:
    """Every file below the data folder with its content."""
    return {str(path.relative_to(paths.root)): path.read_bytes() for path in paths.root.rglob("*") if path.is_file()}
