"""Nothing is lost whatever ends or fails: the collector, the broker or the disk."""

import os
import resource
import signal
import sys
import threading
from pathlib import Path

from iot_pipeline.settings import Settings, load_settings
from tests.servers import Child, RunningBroker, collector_process, wait_until
from tests.sources.publishing import (
    collecting,
    connected,
    heartbeat,
    landed_payloads,
    payloads,
    publisher,
)

LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY));"
    "from iot_pipeline.sources.collector import main; sys.exit(main())"
)


def process_for(settings: Settings, broker: RunningBroker, log: Path, *launcher: str) -> Child:
    environment = {"IOT_DATA": str(settings.data), "IOT_BROKER_URL": broker.url, "IOT_BATCH_SECONDS": "0.5"}
    return collector_process(environment, log, launcher=launcher)


def start(child: Child, settings: Settings) -> None:
    child.start()
    assert child.process is not None
    pid = child.process.pid
    child.wait_for(lambda: connected(settings.paths, pid), "the collector to connect")


def test_a_killed_collector_loses_nothing(settings: Settings, broker: RunningBroker, tmp_path: Path) -> None:
    child = process_for(settings, broker, tmp_path / "collector.log")
    start(child, settings)
    sent = payloads(6_000)
    with publisher(broker) as sender:
        sending = threading.Thread(target=sender.send, args=(sent,))
        sending.start()
        for share in (1_000, 3_000):
            child.wait_for(lambda share=share: len(landed_payloads(settings.paths)) >= share, "some messages landed")  # type: ignore[misc]
            child.end(signal.SIGKILL)
            start(child, settings)
        sending.join(60)
    child.wait_for(lambda: len(set(landed_payloads(settings.paths))) == len(sent), "all messages landed")
    assert child.end() == 0
    assert set(landed_payloads(settings.paths)) == set(sent)


def test_a_killed_broker_is_survived(settings: Settings, nats_broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=nats_broker.url, batch_seconds=0.3)
    sent = payloads(3_000)
    with collecting(settings), publisher(nats_broker) as sender:
        sender.send(sent[:1_000])
        sending = threading.Thread(target=sender.send, args=(sent[1_000:],))
        sending.start()
        wait_until(lambda: len(landed_payloads(settings.paths)) >= 1_200, "some messages landed")
        nats_broker.kill()

        def noticed() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and not beat.connected and beat.last_error is not None

        wait_until(noticed, "the heartbeat to tell that the broker is gone")
        nats_broker.start()
        wait_until(lambda: connected(settings.paths), "the collector to reconnect")
        sending.join(60)
        wait_until(lambda: len(set(landed_payloads(settings.paths))) == len(sent), "all messages landed")
        beat = heartbeat(settings.paths)
        assert beat is not None
        assert beat.reconnects >= 1
        assert beat.last_error is None


def test_a_full_disk_is_waited_for(settings: Settings, one_broker: RunningBroker, tmp_path: Path) -> None:
    """No file may grow beyond 20 kB in the collector's process: the kernel refuses as on a full disk."""
    launcher = (sys.executable, "-c", LIMITED.format(limit=20_000))
    child = process_for(settings, one_broker, tmp_path / "collector.log", *launcher)
    start(child, settings)
    assert child.process is not None
    pid = child.process.pid
    sent = [os.urandom(500) for _ in range(500)]

    def refused() -> bool:
        beat = heartbeat(settings.paths, pid)
        return beat is not None and "cannot write" in (beat.last_error or "") and beat.unacked > 0

    with publisher(one_broker) as sender:
        sender.send(sent)
    child.wait_for(refused, "the heartbeat to tell that the disk is full")
    assert not list(settings.paths.landing.rglob("*.tmp"))

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    child.wait_for(lambda: len(set(landed_payloads(settings.paths))) == len(sent), "all messages landed")

    def healed() -> bool:
        beat = heartbeat(settings.paths, pid)
        return beat is not None and beat.last_error is None and beat.unacked == 0

    child.wait_for(healed, "the heartbeat to tell that all is well")
    assert child.end() == 0
    assert sorted(landed_payloads(settings.paths)) == sorted(sent)
    assert child.log.read_text().count("storage_unavailable ") == 1


def test_an_unusable_landing_folder_is_waited_for(settings: Settings, one_broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=one_broker.url, batch_seconds=0.3, batch_rows=100)
    settings.data.mkdir()
    settings.paths.landing.write_text("a file where a folder has to be")
    sent = payloads(1_000)
    with collecting(settings), publisher(one_broker) as sender:
        sender.send(sent)

        def held() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and beat.last_error is not None and beat.pending_rows >= 200

        wait_until(held, "two batches in memory")
        beat = heartbeat(settings.paths)
        assert beat is not None
        assert beat.unacked == beat.pending_rows
        settings.paths.landing.unlink()
        wait_until(lambda: len(set(landed_payloads(settings.paths))) == len(sent), "all messages landed")
    assert sorted(set(landed_payloads(settings.paths))) == sent


def test_stopping_while_the_disk_is_away_leaves_the_messages_at_the_broker(
    settings: Settings, broker: RunningBroker
) -> None:
    settings = load_settings(data=settings.data, broker_url=broker.url, batch_seconds=0.3)
    settings.data.mkdir()
    settings.paths.landing.write_text("a file where a folder has to be")
    sent = payloads(100)
    with collecting(settings), publisher(broker) as sender:
        sender.send(sent)

        def held() -> bool:
            beat = heartbeat(settings.paths)
            return beat is not None and beat.last_error is not None and beat.pending_rows == len(sent)

        wait_until(held, "all messages in memory")
    settings.paths.landing.unlink()
    with collecting(settings):
        wait_until(lambda: len(landed_payloads(settings.paths)) == len(sent), "all messages landed")
    assert sorted(landed_payloads(settings.paths)) == sent
