"""`iot serve` as a process: it answers, it stops within seconds, and it refuses what a person has to change."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from sensors_sim.load import PLACEHOLDER, batch_payload
from tests.servers import Child, free_loopback_port, listens

KEY = "0123456789abcdef"


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IOT_")}
    return {**kept, "PYTHONPATH": str(PROJECT_ROOT), **variables}


@contextmanager
def served(tmp_path: Path, *command: str, **variables: str) -> Iterator[tuple[Child, str]]:
    port = free_loopback_port()
    settings = {"IOT_DATA": str(tmp_path / "data"), "IOT_WEB_PORT": str(port), **variables}
    child = Child([sys.executable, "-m", *command], tmp_path / "serve.log", environment(**settings))
    child.start()
    try:
        child.wait_for(lambda: listens(port), f"port {port}")
        yield child, f"http://127.0.0.1:{port}"
    finally:
        child.end(signal.SIGKILL)


@pytest.mark.parametrize("command", [("iot_pipeline.cli", "serve"), ("iot_pipeline.serving.server",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_stops_within_seconds_when_told(
    tmp_path: Path, command: tuple[str, ...], number: signal.Signals
) -> None:
    with served(tmp_path, *command) as (child, url), httpx.Client(base_url=url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/api/v1/docs").status_code == 200
        began = time.monotonic()
        # The client's connection is still open.
        assert child.end(number) == 0
        assert time.monotonic() - began < 30
    assert "serving_stopped" in (tmp_path / "serve.log").read_text()


def test_what_lands_is_answered(tmp_path: Path) -> None:
    writer = BatchWriter(DataPaths(tmp_path / "data"), "collector-1", intake_delay=timedelta(seconds=10))
    now = utc_now()
    payload = batch_payload(0, 100).replace(PLACEHOLDER, str(int(now.timestamp() * 1000)).encode())
    with served(tmp_path, "iot_pipeline.serving.server") as (child, url), httpx.Client(base_url=url) as client:
        child.wait_for(lambda: client.get("/readyz").status_code == 200, "the live layer to be rebuilt")
        writer.write([Message(received_at=utc_now(), source="mqtt", topic="utility/gateway/g-1", payload=payload)])
        usage = "/api/v1/customers/usage?customer=c-load-00000042"
        child.wait_for(lambda: client.get(usage).status_code == 200, "the customer to be known")
        series = {one["metric"]: one for one in client.get(usage).json()["series"]}
        assert (series["register"]["value"], series["register"]["unit"]) == (1042.0, "kWh")
        assert series["rate"]["unit"] == "kW"
        devices = "/api/v1/devices?prefix=m-load-00000042"
        child.wait_for(lambda: bool(client.get(devices).json()["devices"]), "the device to be listed")
        assert client.get(devices).json()["devices"][0]["fleet"] == "utility"


def test_keys_are_never_logged(tmp_path: Path) -> None:
    with served(tmp_path, "iot_pipeline.cli", "serve", IOT_API_KEYS=f"a:{KEY}") as (child, url):
        assert httpx.get(f"{url}/metrics", headers={"X-API-Key": KEY}).status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 401
        child.end()
    assert KEY not in (tmp_path / "serve.log").read_text()


@pytest.mark.parametrize("command", [("iot_pipeline.cli", "serve"), ("iot_pipeline.serving.server",)])
def test_what_a_person_has_to_change_is_told_with_exit_code_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    def refused(**variables: str) -> str:
        given = environment(IOT_DATA=str(tmp_path), **variables)
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, env=given, timeout=60, check=False
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr + done.stdout
        return done.stderr + done.stdout

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "IOT_WEB_PORT" in refused(IOT_WEB_PORT=str(taken.getsockname()[1]))
    assert "IOT_API_KEYS" in refused(IOT_WEB_HOST="0.0.0.0")  # noqa: S104
