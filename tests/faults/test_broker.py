"""The broker is killed, is away for a while, or is told of two collectors with one name."""

import os
import time
from pathlib import Path

from iot_pipeline.settings import Settings
from tests.faults.world import CollectorProcess, assert_nothing_lost, device, running
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import landed_payloads

# How long the broker stays away; the story is the same for 120, it only takes longer.
OUTAGE_SECONDS = float(os.environ.get("FAULT_OUTAGE_SECONDS", "0"))


def test_the_embedded_broker_is_killed_under_load(
    settings: Settings, nats_broker: RunningBroker, tmp_path: Path
) -> None:
    """Twice, and each time the devices die with it: what it acknowledged until then is on its disk."""
    collector = CollectorProcess(settings, nats_broker.url, tmp_path / "collector.log")
    with running(collector):
        devices = []
        for name in ("first", "second"):
            with device(nats_broker, name) as one:
                devices.append(one)
                one.begin(rate=2_000)
                wait_until(lambda: len(one.promised) > 500, "some hundred acknowledgements")
                nats_broker.kill()
            collector.until(lambda beat: not beat.connected and beat.last_error is not None, "the outage to be told")
            nats_broker.start()
            collector.until(lambda beat: beat.connected, "the collector to reconnect")
        collector.until_landed(devices[0].promised | devices[1].promised)
    assert_nothing_lost(settings, *devices)


def test_a_killed_mosquitto_loses_no_more_than_what_came_since_its_last_save(
    settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    store = tmp_path / "mosquitto" / "mosquitto.db"
    collector = CollectorProcess(settings, mosquitto_broker.url, tmp_path / "collector.log")
    with running(collector), device(mosquitto_broker, "landed") as landed:
        landed.send(200)
        collector.until_landed(landed.promised)
    with device(mosquitto_broker, "saved") as saved:
        saved.send(500)
        # The save that begins after the last acknowledgement; it replaces the file.
        before = store.stat().st_ino if store.exists() else None
        wait_until(lambda: store.exists() and store.stat().st_ino != before, "Mosquitto to save its messages")
    with device(mosquitto_broker, "unsaved") as unsaved:
        unsaved.send(500)
        mosquitto_broker.kill()
    mosquitto_broker.start()
    with running(collector), device(mosquitto_broker, "after") as after:
        collector.until_landed(saved.promised)
        # And once more while it is connected: it subscribes again whatever the broker remembers.
        mosquitto_broker.kill()
        collector.until(lambda beat: not beat.connected, "the outage to be noticed")
        mosquitto_broker.start()
        collector.until(lambda beat: beat.connected, "the collector to reconnect")
        after.send(200)
        collector.until_landed(after.promised)
    found = set(landed_payloads(settings.paths))
    assert landed.promised | saved.promised | after.promised <= found
    lost = unsaved.promised - found
    print(f"Mosquitto lost {len(lost)} of {len(unsaved.promised)} messages that came after its last save")


def test_a_broker_that_is_away_is_waited_for_by_everyone(
    settings: Settings, broker: RunningBroker, tmp_path: Path
) -> None:
    """Devices store and forward, the collector says what is wrong and comes back by itself."""
    collector = CollectorProcess(settings, broker.url, tmp_path / "collector.log")
    with running(collector), device(broker) as one:
        one.begin(rate=200)
        wait_until(lambda: len(landed_payloads(settings.paths)) > 100, "some messages landed")
        broker.stop()
        beat = collector.until(lambda beat: not beat.connected and beat.last_error is not None, "the outage to be told")
        known = len(one.sent)
        wait_until(lambda: len(one.sent) > known + 300, "messages that the device has to keep")
        time.sleep(OUTAGE_SECONDS)
        broker.start()
        back = collector.until(lambda beat: beat.connected, "the collector to reconnect")
        assert back.reconnects == beat.reconnects + 1
        assert back.last_error is None
        one.end()
        one.wait_until_promised()
        collector.until_landed(one.promised)
    assert len(one.promised) == len(one.sent)
    assert_nothing_lost(settings, one)
