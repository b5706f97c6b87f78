"""What tests of faults share: a device that remembers what it was promised, a collector that can be killed,
and the account of what came of it. Which fault happens when is each test's own story.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.heartbeat import CollectorHeartbeat
from iot_pipeline.landing.layout import landed_minutes
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.readings.store import open_root
from iot_pipeline.settings import Settings
from tests.readings.stored import deduplicated, read_files
from tests.servers import RunningBroker, collector_process, wait_until
from tests.sources.publishing import heartbeat, landed_payloads

PATIENCE_SECONDS = 180.0
HANDICAPPED = (sys.executable, "-m", "tests.faults.handicapped")
"""Launcher of a collector whose machine is not well; see there."""
CHUNK = 20
PACKET_NUMBERS = 65_535
# One reading each, with an event time of its own: loss and repetition are exact.
STEP = timedelta(milliseconds=1)
AGE = timedelta(minutes=2)


class Device:
    """Publishes numbered observations with QoS 1 and keeps what the broker has not acknowledged.

    `promised` are the payloads whose PUBACK came; it holds whatever happened to the connection.
    """

    def __init__(self, broker: RunningBroker, name: str = "device-1") -> None:
        self.name = name
        self.sent: list[bytes] = []
        self._first = utc_now() - AGE
        self._by_mid: dict[int, bytes] = {}
        self._acknowledged: list[int] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, protocol=MQTTv311)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.max_inflight_messages_set(500)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    @property
    def promised(self) -> set[bytes]:
        """Payloads that the broker has acknowledged."""
        return {self._by_mid[mid] for mid in list(self._acknowledged)}

    def send(self, count: int) -> list[bytes]:
        """Publish `count` observations, wait for all acknowledgements and return the payloads."""
        payloads = self.publish(count)
        self.wait_until_promised()
        return payloads

    def publish(self, count: int) -> list[bytes]:
        """Publish `count` observations without waiting; paho keeps them while the broker is away."""
        payloads = [self._observation(len(self.sent) + index) for index in range(count)]
        assert len(self.sent) + count < PACKET_NUMBERS, "a device tells its messages apart by packet number"
        for payload in payloads:
            info = self._client.publish(f"weather/{self.name}/observation", payload, qos=1)
            self._by_mid[info.mid] = payload
        self.sent += payloads
        return payloads

    def wait_until_promised(self) -> None:
        """Wait until the broker has acknowledged everything that was published."""
        wait_until(
            lambda: len(self.promised) == len(self.sent),
            f"all of {len(self.sent)} messages acknowledged",
            seconds=PATIENCE_SECONDS,
        )

    def begin(self, rate: float) -> None:
        """Publish about `rate` observations a second from now on, in the background."""

        def work() -> None:
            while not self._stop.wait(CHUNK / rate):
                self.publish(CHUNK)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def end(self) -> None:
        """Publish no more; what was published is still delivered."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End and disconnect; what is not acknowledged by now was not promised."""
        self.end()
        self._client.disconnect()
        self._client.loop_stop()

    def _observation(self, number: int) -> bytes:
        at = self._first + number * STEP
        return b'{"deviceid": "%s", "temperature": %d, "time": "%s"}' % (
            self.name.encode(),
            number,
            at.isoformat().encode(),
        )

    def _on_publish(self, _client: Client, _: object, mid: int, _reason: ReasonCode, _properties: Properties) -> None:
        self._acknowledged.append(mid)


@contextmanager
def device(broker: RunningBroker, name: str = "device-1") -> Iterator[Device]:
    """A device for a `with` block."""
    one = Device(broker, name)
    try:
        yield one
    finally:
        one.close()


class CollectorProcess:
    """The collector as the supervisor starts it: a process of its own, to be killed and started again."""

    def __init__(
        self,
        settings: Settings,
        broker_url: str,
        log: Path,
        *,
        launcher: Sequence[str] = (),
        seen: DataPaths | None = None,
        **environment: str,
    ) -> None:
        """`seen` is its data folder as this process sees it, where that is another path than its own."""
        self.paths = seen or settings.paths
        variables: Mapping[str, str] = {
            "IOT_DATA": str(settings.data),
            "IOT_BROKER_URL": broker_url,
            "IOT_BATCH_SECONDS": "0.5",
            **environment,
        }
        self.child = collector_process(variables, log, launcher=launcher)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.child.process is not None
        return self.child.process.pid

    @property
    def log(self) -> str:
        """What it has said."""
        return self.child.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until its session exists at the broker."""
        self.child.start()
        self.until(lambda beat: beat.connected, "the collector to connect")

    def kill(self) -> None:
        """SIGKILL."""
        self.child.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        assert self.child.end() == 0

    def until(self, condition: Callable[[CollectorHeartbeat], bool], what: str) -> CollectorHeartbeat:
        """Wait until a heartbeat of this very process meets `condition`, and return it."""
        found: list[CollectorHeartbeat] = []

        def met() -> bool:
            beat = heartbeat(self.paths, self.pid)
            if beat is None or not condition(beat):
                return False
            found.append(beat)
            return True

        self.child.wait_for(met, what, seconds=PATIENCE_SECONDS)
        return found[0]

    def until_landed(self, wanted: set[bytes]) -> None:
        """Wait until all of `wanted` have landed, once or more often."""
        self.child.wait_for(
            lambda: wanted <= set(landed_payloads(self.paths)),
            f"all of {len(wanted)} messages landed",
            seconds=PATIENCE_SECONDS,
        )


@contextmanager
def running(collector: CollectorProcess) -> Iterator[CollectorProcess]:
    """A connected collector for a `with` block, stopped in good order at its end and killed if the test fails."""
    try:
        collector.start()
        yield collector
        collector.stop()
    finally:
        if collector.child.process is not None and collector.child.process.poll() is None:
            collector.kill()


@dataclass(frozen=True, slots=True)
class Account:
    """What decoding made of everything that landed."""

    messages: int
    readings: int
    """Distinct ones: what statistics see."""
    duplicates: int
    """Copies that were removed, as the pipeline counts them."""


def account(settings: Settings) -> Account:
    """Decode all landed minutes, as the minute chain does, and count."""
    built = build_minutes(settings, load_mappings(None), landed_minutes(settings.paths, None))
    stored = read_files(sorted(open_root(settings.paths).glob("dt=*/hm=*/*.parquet")))
    distinct = deduplicated(stored).height
    assert sum(minute.quarantined + minute.no_reading for minute in built) == 0
    within = sum(minute.messages - minute.decoded for minute in built)
    return Account(sum(minute.messages for minute in built), distinct, within + stored.height - distinct)


def assert_nothing_lost(settings: Settings, *devices: Device) -> Account:
    """Everything promised has landed, nothing else has, and each copy too many was removed and counted."""
    landed = landed_payloads(settings.paths)
    promised = set().union(*(one.promised for one in devices))
    sent = {payload for one in devices for payload in one.sent}
    assert promised - set(landed) == set()
    assert set(landed) - sent == set()
    result = account(settings)
    assert result == Account(len(landed), len(set(landed)), len(landed) - len(set(landed)))
    return result
