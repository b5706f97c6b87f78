"""People are told of new events once, over every channel by itself, and not of history."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import polars as pl
import pytest
import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.anomalies.notifying.channel import LogChannel, MqttChannel, Notice, NotTold, WebhookChannel
from iot_pipeline.anomalies.notifying.telling import tell_new_events
from iot_pipeline.anomalies.notifying.told import Attempt, Outcome, note, told_since
from iot_pipeline.files import write_parquet
from iot_pipeline.landing.message import Message
from iot_pipeline.logs import log_lines
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.filling import Filling
from iot_pipeline.sources.source import Received
from iot_pipeline.stats.relations import EVENT_SCHEMA, events_file
from tests.servers import RunningBroker

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def keep_events(settings: Settings, *events: dict[str, object]) -> None:
    """Store events of the day of NOW: what is not said is that of a grave and present one."""
    usual = {
        "revision": 1,
        "status": "open",
        "opened_at": NOW - timedelta(minutes=2),
        "last_flag_at": NOW - timedelta(minutes=1),
        "device_id": "p1",
        "metric": "pressure",
        "unit": "bar",
        "type": "spike",
        "severity": "critical",
        "score": 5.0,
        "sentence": "p1 pressure: 9 bar",
        "continues": False,
    }
    rows = [
        usual | {"event_id": f"e{number}", "device_id": f"p{number}"} | event for number, event in enumerate(events)
    ]
    write_parquet(pl.DataFrame(rows, schema=EVENT_SCHEMA), events_file(settings.paths, NOW.date()))


@dataclass
class Listener:
    """A channel that a person listens to, out of order while `broken`."""

    name: str = "listener"
    broken: bool = False
    heard: list[Notice] = field(default_factory=list)

    def tell(self, notice: Notice) -> None:
        if self.broken:
            raise NotTold("nobody listens")
        self.heard.append(notice)

    def ids(self) -> list[object]:
        return [notice["event_id"] for notice in self.heard]


@pytest.fixture(name="settings")
def world(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path, notify_per_hour=3)


def test_an_event_is_told_once(settings: Settings) -> None:
    listener = Listener()
    keep_events(settings, {})

    assert tell_new_events(settings, now=NOW, over=[listener]) == {Outcome.SENT: 1}
    assert tell_new_events(settings, now=NOW + timedelta(minutes=1), over=[listener]) == {}
    assert listener.ids() == ["e0"]


@pytest.mark.parametrize(
    "event",
    [
        {"last_flag_at": NOW - timedelta(hours=1)},
        {"severity": "notice"},
        {"status": "withdrawn"},
    ],
    ids=["history", "not grave", "withdrawn"],
)
def test_nobody_is_told_of(settings: Settings, event: dict[str, object]) -> None:
    keep_events(settings, event)

    assert tell_new_events(settings, now=NOW, over=[Listener()]) == {}


def test_a_revised_event_is_not_told_again(settings: Settings) -> None:
    listener = Listener()
    keep_events(settings, {})
    tell_new_events(settings, now=NOW, over=[listener])

    keep_events(settings, {"revision": 2, "score": 9.0, "last_flag_at": NOW})
    tell_new_events(settings, now=NOW + timedelta(minutes=1), over=[listener])

    assert listener.ids() == ["e0"]


def test_what_goes_on_after_midnight_is_no_news(settings: Settings) -> None:
    listener = Listener()
    keep_events(settings, {})
    tell_new_events(settings, now=NOW, over=[listener])

    keep_events(settings, {}, {"event_id": "next day", "device_id": "p0", "continues": True})
    tell_new_events(settings, now=NOW + timedelta(minutes=1), over=[listener])

    assert listener.ids() == ["e0"]


def test_a_flood_is_told_in_part_gravest_first_and_the_rest_is_counted(settings: Settings) -> None:
    listener = Listener()
    flood: list[dict[str, object]] = [{"severity": "critical" if number == 7 else "warning"} for number in range(8)]
    keep_events(settings, *flood)

    assert tell_new_events(settings, now=NOW, over=[listener]) == {Outcome.SENT: 3, Outcome.HELD_BACK: 5}
    assert listener.ids()[0] == "e7"
    later = NOW + timedelta(minutes=70)
    keep_events(settings, {"event_id": "later", "last_flag_at": later})
    tell_new_events(settings, now=later, over=[listener])
    assert (listener.heard[-1]["event_id"], listener.heard[-1]["further_events"]) == ("later", 5)


def test_a_channel_that_fails_is_tried_again_and_holds_up_no_other(settings: Settings) -> None:
    broken, whole = Listener("broken", broken=True), Listener("whole")
    keep_events(settings, {})

    outcomes = tell_new_events(settings, now=NOW, over=[broken, whole])
    broken.broken = False
    tell_new_events(settings, now=NOW + timedelta(minutes=1), over=[broken, whole])

    assert outcomes == {Outcome.FAILED: 1, Outcome.SENT: 1}
    assert (broken.ids(), whole.ids()) == (["e0"], ["e0"])


def test_it_tries_again_ever_more_rarely_and_gives_up_after_six_attempts(settings: Settings) -> None:
    broken = Listener(broken=True)
    keep_events(settings, {"last_flag_at": NOW + timedelta(minutes=60)})

    calls = range(0, 60 * 60, 30)
    outcomes = [tell_new_events(settings, now=NOW + timedelta(seconds=seconds), over=[broken]) for seconds in calls]

    tried = [seconds for seconds, outcome in zip(calls, outcomes, strict=True) if outcome]
    assert tried == [0, 30, 90, 180, 360, 690]


def test_an_attempt_that_a_crash_cut_short_is_not_repeated(settings: Settings) -> None:
    listener = Listener()
    keep_events(settings, {})
    key = ("p0", "pressure", "bar", "spike")
    note(settings.paths, Attempt(at=NOW, event_id="e0", channel="listener", outcome=Outcome.BEGUN, key=key))

    assert tell_new_events(settings, now=NOW, over=[listener]) == {}


def test_a_torn_line_of_the_journal_is_passed_over(settings: Settings) -> None:
    listener = Listener()
    keep_events(settings, {})
    tell_new_events(settings, now=NOW, over=[listener])
    journal = settings.paths.notifications / f"{NOW:%Y-%m-%d}.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"at": "2026')

    assert tell_new_events(settings, now=NOW, over=[listener]) == {}
    assert [attempt.outcome for attempt in told_since(settings.paths, NOW)] == [Outcome.BEGUN, Outcome.SENT]


@dataclass
class Receiver:
    """A web server that takes notices."""

    url: str
    status: int = 204
    bodies: list[dict[str, object]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@pytest.fixture(name="receiver")
def running_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            receiver.keys.append(self.headers["Idempotency-Key"])
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/secret-token")
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield receiver
        server.shutdown()
        serving.join()


@pytest.fixture(name="logging_of_dagster")
def configured_by_dagster() -> Iterator[None]:
    """Structlog as Dagster's processes configure it."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging_of_dagster")
def test_the_log_is_one_readable_line_in_the_processes_of_dagster(capsys: pytest.CaptureFixture[str]) -> None:
    log_lines()
    LogChannel().tell({"severity": "critical", "sentence": "p1 pressure: 9\nbar", "event_id": "e1", "score": 5.0})

    (line,) = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().err).splitlines()
    assert line.endswith(r"event_id=e1 sentence='p1 pressure: 9\nbar' severity=critical")


def test_a_webhook_gets_the_event_as_json(settings: Settings, receiver: Receiver) -> None:
    keep_events(settings, {"device_id": '<b>"p"</b>', "unit": None})

    tell_new_events(settings, now=NOW, over=[WebhookChannel(receiver.url)])

    (body,) = receiver.bodies
    assert receiver.keys == ["e0"]
    assert body["device_id"] == '<b>"p"</b>'
    assert (body["unit"], body["severity"], body["further_events"]) == (None, "critical", 0)
    assert body["opened_at"] == "2026-03-02T11:58:00+00:00"


def test_a_refusing_webhook_is_told_of_without_its_address(
    settings: Settings, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_events(settings, {})
    receiver.status = 500

    outcomes = tell_new_events(settings, now=NOW, over=[WebhookChannel(receiver.url)])

    assert outcomes == {Outcome.FAILED: 1}
    told = "".join(attempt.detail for attempt in told_since(settings.paths, NOW)) + capsys.readouterr().out
    assert "answered 500" in told
    assert "secret-token" not in told


def test_an_absent_webhook_is_told_of_without_its_address() -> None:
    with pytest.raises(NotTold, match="could not be reached: ConnectError") as refusal:
        WebhookChannel("http://127.0.0.1:9/secret-token").tell({"event_id": "e"})

    assert "secret-token" not in str(refusal.value)


def test_an_mqtt_channel_publishes_and_the_collector_leaves_it_out(
    tmp_path: Path, mosquitto_broker: RunningBroker
) -> None:
    settings = load_settings(data=tmp_path, broker_url=mosquitto_broker.url, notify_topic="plant/alarms")
    heard = subscribed(mosquitto_broker.port, "plant/#")
    keep_events(settings, {})

    assert tell_new_events(settings, now=NOW, over=[MqttChannel(settings, "plant/alarms")]) == {Outcome.SENT: 1}

    topic, payload = heard.get(timeout=60)
    assert (topic, json.loads(payload)["event_id"]) == ("plant/alarms", "e0")
    message = Message(NOW, "mqtt", topic, payload, 1, False)
    filling = Filling(settings)
    filling.add([Received(message, None)])
    assert filling.messages == []


def test_an_absent_broker_is_told_of(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, broker_url="mqtt://127.0.0.1:9", notify_topic="plant/alarms")

    with pytest.raises(NotTold, match="broker could not be reached"):
        MqttChannel(settings, "plant/alarms").tell({"event_id": "e"})


def subscribed(port: int, topics: str) -> Queue[tuple[str, bytes]]:
    """What arrives on `topics` from now on; the subscription is confirmed when this returns."""
    arrived: Queue[tuple[str, bytes]] = Queue()
    confirmed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)

    def subscribe(*_: object) -> None:
        client.subscribe(topics, 1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: confirmed.set()
    client.on_message = lambda _client, _data, message: arrived.put((message.topic, bytes(message.payload)))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert confirmed.wait(10)
    return arrived
