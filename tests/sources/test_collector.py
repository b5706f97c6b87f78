import threading

import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.landing.ledger import LedgerCursor, read_since
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.collector import run_collector
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import collecting, heartbeat, landed, landed_payloads, payloads, publisher


def for_broker(settings: Settings, broker: RunningBroker, **overrides: object) -> Settings:
    return load_settings(data=settings.data, broker_url=broker.url, batch_seconds=0.3, **overrides)


def test_what_is_published_is_landed_once_and_in_order(settings: Settings, broker: RunningBroker) -> None:
    settings = for_broker(settings, broker, batch_rows=300)
    sent = payloads(2_000)
    with collecting(settings), publisher(broker) as sender:
        sender.send(sent)
        wait_until(lambda: len(landed_payloads(settings.paths)) >= len(sent), "all messages landed")
    assert landed_payloads(settings.paths) == sent
    frame = landed(settings.paths)
    assert set(frame["topic"]) == {"plant/line"}
    assert set(frame["source"]) == {"mqtt"}
    assert set(frame["qos"]) == {1}
    lines, _ = read_since(settings.paths, LedgerCursor())
    assert sum(line.rows for line in lines) == len(sent)
    assert sum(line.bytes for line in lines) == sum(map(len, sent))


def test_a_clean_stop_lands_and_acknowledges_everything(settings: Settings, broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=broker.url, batch_seconds=5)
    sent = payloads(200)
    with collecting(settings), publisher(broker) as sender:
        sender.send(sent)

        def all_received() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and beat.pending_rows == len(sent)

        wait_until(all_received, "all messages in memory")
    assert landed_payloads(settings.paths) == sent
    beat = heartbeat(settings.paths)
    assert beat is not None
    assert (beat.connected, beat.unacked, beat.pending_rows, beat.messages) == (False, 0, 0, len(sent))

    with collecting(settings), publisher(broker) as sender:
        sender.send([b"after"])
    assert landed_payloads(settings.paths) == [*sent, b"after"]


def test_messages_sent_while_the_collector_is_away_are_landed(settings: Settings, broker: RunningBroker) -> None:
    settings = for_broker(settings, broker)
    with collecting(settings):
        pass
    sent = payloads(3_000)
    with publisher(broker) as sender:
        sender.send(sent)
    with collecting(settings):
        wait_until(lambda: len(landed_payloads(settings.paths)) >= len(sent), "all messages landed")
    assert sorted(landed_payloads(settings.paths)) == sent


def test_qos_0_is_landed_as_well(settings: Settings, broker: RunningBroker) -> None:
    settings = for_broker(settings, broker)
    with collecting(settings), publisher(broker) as sender:
        sender.send(payloads(100), qos=0)
        wait_until(lambda: len(landed_payloads(settings.paths)) == 100, "all messages landed")
    assert set(landed(settings.paths)["qos"]) == {0}


def test_landed_through_follows_the_clock_while_nothing_comes(settings: Settings, one_broker: RunningBroker) -> None:
    settings = for_broker(settings, one_broker)
    with collecting(settings):
        begun = utc_now()

        def passed() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and beat.landed_through > begun

        wait_until(passed, "landed_through to advance")


def test_a_second_collector_of_the_same_id_is_refused(settings: Settings, one_broker: RunningBroker) -> None:
    settings = for_broker(settings, one_broker)
    with collecting(settings):
        with pytest.raises(ConfigurationError, match="already runs"):
            run_collector(settings, stop=threading.Event())
        other = for_broker(settings, one_broker, collector_id="collector-2")
        with collecting(other):
            pass


def test_sparkplug_messages_are_acknowledged_and_left_to_their_host(
    settings: Settings, one_broker: RunningBroker
) -> None:
    settings = for_broker(settings, one_broker)
    with collecting(settings), publisher(one_broker) as sender:
        sender.send(payloads(50), topic="spBv1.0/plant/NDEATH/edge")

        def left() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and beat.counts["left_to_sparkplug"] == 50 and beat.unacked == 0

        wait_until(left, "all of them left and acknowledged")
        beat = heartbeat(settings.paths)
        assert beat is not None
        assert beat.messages == 0
        assert "'collector-1-sparkplug', which does not run here" in (beat.last_error or "")
        sender.send([b"1"])
        wait_until(lambda: landed_payloads(settings.paths) == [b"1"], "the other one landed")


def test_without_a_host_sparkplug_messages_are_landed_as_they_come(
    settings: Settings, one_broker: RunningBroker
) -> None:
    settings = for_broker(settings, one_broker, sparkplug_host_id="")
    with collecting(settings), publisher(one_broker) as sender:
        sender.send([b"birth"], topic="spBv1.0/plant/NBIRTH/edge")
        wait_until(lambda: landed_payloads(settings.paths) == [b"birth"], "it landed")


@pytest.mark.parametrize("kind", [SourceKind.sparkplug, SourceKind.opcua])
def test_a_source_that_is_not_configured_is_refused(settings: Settings, kind: SourceKind) -> None:
    settings = load_settings(data=settings.data, sparkplug_host_id="")
    with pytest.raises(ConfigurationError, match="IOT_"):
        run_collector(settings, stop=threading.Event(), kind=kind)
    assert not settings.data.exists()
