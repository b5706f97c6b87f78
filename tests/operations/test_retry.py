"""Retrying quarantine: which minutes are asked for, and what is said when nobody can be asked."""

import json
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from iot_pipeline.clock import MINUTE, minute_key
from iot_pipeline.errors import ConfigurationError, TransientError
from iot_pipeline.operations.backfill import MINUTE_ASSETS
from iot_pipeline.operations.retry import bridged, retry
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.quarantine import Chosen
from iot_pipeline.settings import Settings
from tests.readings.landed import BUILT_IN, NOW, land, settings_in
from tests.servers import free_loopback_port

FIRST = NOW.replace(second=0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two landing minutes, four minutes apart, with a topic of nobody each; a third hours later."""
    settings = settings_in(tmp_path).model_copy(update={"dagster_port": free_loopback_port()})
    minutes = land(settings, [(NOW + index * MINUTE, "nobody/a", b"1") for index in (0, 4, 200)])
    build_minutes(settings, BUILT_IN, minutes)
    return settings


@pytest.fixture
def asked(settings: Settings) -> Iterator[list[dict[str, object]]]:
    """What the web server of Dagster was asked for. Its own answers are tested with a real one elsewhere."""
    requests: list[dict[str, object]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is the protocol's
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(body["variables"]["params"])
            answer = {"launchPartitionBackfill": {"__typename": "LaunchBackfillSuccess", "backfillId": "b1"}}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": answer}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", settings.dagster_port), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield requests
        server.shutdown()
        thread.join()


def test_the_minutes_of_chosen_rows_are_asked_for(settings: Settings, asked: list[dict[str, object]]) -> None:
    told: list[str] = []
    assert retry(settings, Chosen(topic="nobody/*"), wait=False, echo=told.append)
    [request] = asked
    wanted = [FIRST + index * MINUTE for index in (0, 1, 2, 3, 4, 200)]
    assert request["partitionNames"] == [minute_key(minute) for minute in wanted]
    assert request["assetSelection"] == [{"path": [name]} for name in MINUTE_ASSETS]
    assert told[0] == "3 landing minutes, in 2026-11-22T10:00..2026-11-22T10:04, 2026-11-22T13:20"
    assert told[1].endswith("/runs/b/b1")


def test_without_dagster_it_says_which_minutes_and_what_to_do(settings: Settings) -> None:
    told: list[str] = []
    with pytest.raises(TransientError, match=r"nothing was asked for\. Start it with `iot up`"):
        retry(settings, Chosen(), wait=False, echo=told.append)
    assert told[0].startswith("3 landing minutes")


def test_nothing_chosen_asks_for_nothing(settings: Settings) -> None:
    told: list[str] = []
    assert retry(settings, Chosen(reason="bad_json"), wait=True, echo=told.append)
    assert told == ["nothing in quarantine is as you said; see `iot quarantine list`"]


def test_minutes_without_a_partition_are_left_out_and_told(settings: Settings) -> None:
    told: list[str] = []
    later = settings.model_copy(update={"minute_start": date(2026, 11, 23)})
    with pytest.raises(ConfigurationError, match="nothing was asked for"):
        retry(later, Chosen(), wait=False, echo=told.append)
    assert told[0].startswith("3 landing minutes from 2026-11-22T10:00 on are left out")


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    def at(minutes: int) -> datetime:
        return FIRST + timedelta(minutes=minutes)

    assert bridged([at(0), at(2), at(20)]) == [at(0), at(1), at(2), at(20)]
    assert bridged([at(0), at(10), at(21)]) == [*map(at, range(11)), at(21)]
    assert bridged([]) == []
