"""What tests of sources share: publishing for certain, and looking at what was landed."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.landing.layout import landed_minutes, read_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.sources.collector import run_collector
from tests.servers import RunningBroker, wait_until


def payloads(count: int, first: int = 0) -> list[bytes]:
    """Distinct payloads in a known order."""
    return [b'{"n": %07d}' % number for number in range(first, first + count)]


class Publisher:
    """Publishes with QoS 1 and knows what the broker took over; survives a broker that comes back."""

    def __init__(self, broker: RunningBroker, client_id: str, ca_file: Path | None) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, protocol=MQTTv311)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.max_inflight_messages_set(500)
        if ca_file is not None:
            self._client.tls_set(ca_certs=str(ca_file))
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def send(self, contents: Sequence[bytes], topic: str = "plant/line", qos: int = 1) -> None:
        """Publish all and return when the broker has acknowledged each."""
        infos = [self._client.publish(topic, content, qos=qos) for content in contents]
        for info in infos:
            info.wait_for_publish(60)
            assert info.is_published()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def publisher(
    broker: RunningBroker, client_id: str = "publisher", *, ca_file: Path | None = None
) -> Iterator[Publisher]:
    """A publisher for a `with` block."""
    sender = Publisher(broker, client_id, ca_file)
    try:
        yield sender
    finally:
        sender.close()


def landed(paths: DataPaths) -> pl.DataFrame:
    """Everything that was landed, in order of landing."""
    minutes = landed_minutes(paths, None)
    return pl.concat([read_minute(paths, minute) for minute in minutes]) if minutes else pl.DataFrame()


def landed_payloads(paths: DataPaths) -> list[bytes]:
    """The payloads of everything that was landed, in order of landing, repetitions included."""
    frame = landed(paths)
    return [] if frame.is_empty() else frame.sort("batch", "row")["payload"].to_list()


def heartbeat(paths: DataPaths, pid: int | None = None) -> CollectorHeartbeat | None:
    """The heartbeat of the only collector, if it is of process `pid`."""
    beats = [beat for beat in read_heartbeats(paths) if pid is None or beat.pid == pid]
    return beats[0] if beats else None


def connected(paths: DataPaths, pid: int | None = None) -> bool:
    """Whether the collector says that it is connected."""
    beat = heartbeat(paths, pid)
    return beat is not None and beat.connected


class CollectorThread:
    """`run_collector` in a thread of the test; an error of it is raised at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            run_collector(self.settings, stop=self._stop)
        except BaseException as error:  # noqa: BLE001 -- raised again in the test's own thread
            self._error = error

    def start(self) -> None:
        """Start, and wait until the session exists at the broker."""
        self._thread.start()
        wait_until(lambda: self._error is not None or connected(self.settings.paths), "the collector to connect")

    def stop(self) -> None:
        """Stop in good order."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error


@contextmanager
def collecting(settings: Settings) -> Iterator[CollectorThread]:
    """A connected collector for a `with` block, stopped in good order at its end."""
    collector = CollectorThread(settings)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
