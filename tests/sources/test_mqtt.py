import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog.testing

from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources import standing
from iot_pipeline.sources.kinds import make_source
from iot_pipeline.sources.source import Received, Source
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import payloads, publisher


@contextmanager
def source_for(settings: Settings, broker_url: str, **overrides: object) -> Iterator[Source]:
    source = make_source(load_settings(data=settings.data, broker_url=broker_url, **overrides), SourceKind.mqtt)
    try:
        yield source
    finally:
        source.close()


def connect(source: Source) -> None:
    def connected() -> bool:
        assert source.poll(0.05) == []
        return source.state.connected

    wait_until(connected, "the source to connect")


def take(source: Source, count: int, seconds: float = 10.0) -> list[Received]:
    taken: list[Received] = []

    def enough() -> bool:
        taken.extend(source.poll(0.05))
        return len(taken) >= count

    wait_until(enough, f"{count} messages", seconds=seconds)
    return taken


def acknowledge(source: Source, taken: list[Received]) -> None:
    source.acknowledge([receipt for _, receipt in taken if receipt is not None])


def restarted_mosquitto(broker: RunningBroker, tmp_path: Path, lines: str) -> None:
    config = tmp_path / "mosquitto.conf"
    broker.stop()
    config.write_text(config.read_text() + lines)
    broker.start()


@pytest.mark.usefixtures("reader")
def test_nobody_listening_is_told_in_words(settings: Settings, free_port: int) -> None:
    with source_for(settings, f"mqtt://127.0.0.1:{free_port}") as source:
        assert source.poll(0.01) == []
        assert source.state.problem == "Connection refused"
        assert not source.state.connected


@pytest.mark.usefixtures("reader")
def test_a_refusal_is_told_in_words_and_without_secrets(
    settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    config = tmp_path / "mosquitto.conf"
    config.write_text(config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    restarted_mosquitto(mosquitto_broker, tmp_path, f"password_file {passwords}\n")
    with (
        structlog.testing.capture_logs() as logs,
        source_for(settings, mosquitto_broker.url, broker_username="plant", broker_password="s3cret") as source,
    ):

        def refused() -> bool:
            source.poll(0.05)
            return source.state.problem is not None

        wait_until(refused, "the broker to refuse")
        assert "refused the connection: Not authorized" in (source.state.problem or "")
    assert [entry["event"] for entry in logs] == ["broker_unavailable"]
    assert "s3cret" not in str(logs)


def test_a_message_in_hand_is_not_taken_twice(settings: Settings, nats_broker: RunningBroker) -> None:
    """NATS repeats after 10 s what is not acknowledged, on the very same connection."""
    with source_for(settings, nats_broker.url) as source, publisher(nats_broker) as sender:
        connect(source)
        sender.send([b"once"])
        taken = take(source, 1)

        def repeated() -> bool:
            assert source.poll(0.1) == []
            return source.state.duplicates_flagged > 0

        wait_until(repeated, "the broker to repeat it")
        assert source.state.unacked == 1
        acknowledge(source, taken)
        assert source.state.unacked == 0


def test_receipts_of_an_earlier_connection_acknowledge_nothing(settings: Settings, broker: RunningBroker) -> None:
    with publisher(broker) as sender:
        with source_for(settings, broker.url) as source:
            connect(source)
            sender.send([b"first"])
            old = take(source, 1)
        with source_for(settings, broker.url) as source:
            taken = take(source, 1)
            assert taken[0].message.payload == b"first"
            # The same packet number, but of a connection that is gone.
            stale = [receipt._replace(connection=receipt.connection - 1) for _, receipt in old if receipt is not None]
            source.acknowledge(stale)
            assert source.state.unacked == 1
            acknowledge(source, taken)
            assert source.state.unacked == 0
    with source_for(settings, broker.url) as source:
        connect(source)


def test_a_resting_connection_is_closed_and_the_broker_queues(
    settings: Settings, broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "REST_SECONDS", 0.1)
    sent = payloads(500)
    with source_for(settings, broker.url) as source, publisher(broker) as sender:
        connect(source)

        def closed() -> bool:
            source.rest(0.05)
            return not source.state.connected

        wait_until(closed, "the connection to be closed")
        sender.send(sent)
        taken = take(source, len(sent))
        assert [message.payload for message, _ in taken] == sent
        connect(source)
        assert source.state.reconnects == 1
        assert source.state.problem is None


def test_a_filter_taken_out_of_the_settings_is_unsubscribed(settings: Settings, broker: RunningBroker) -> None:
    with publisher(broker) as sender:
        with source_for(settings, broker.url, topics=("old/+", "kept/+")) as source:
            connect(source)
        with source_for(settings, broker.url, topics=("kept/+",)) as source:
            connect(source)
            sender.send([b"1"], topic="old/a")
            sender.send([b"2"], topic="kept/a")
            assert [message.payload for message, _ in take(source, 1)] == [b"2"]
            assert source.poll(0.2) == []


# paho leaves the socket of a failed TLS handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("reader")
def test_tls_with_a_ca_of_our_own(settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    command = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, *command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    restarted_mosquitto(mosquitto_broker, tmp_path, f"certfile {certificate}\nkeyfile {key}\n")
    url = mosquitto_broker.url.replace("mqtt:", "mqtts:")
    with source_for(settings, url) as distrustful:
        distrustful.poll(1)
        assert "certificate" in (distrustful.state.problem or "").lower()
    with (
        source_for(settings, url, broker_ca_file=certificate) as source,
        publisher(mosquitto_broker, ca_file=certificate) as sender,
    ):
        connect(source)
        sender.send([b"x" * 100_000], topic="plant/a")
        taken = take(source, 1)
        assert len(taken[0].message.payload) == 100_000
        acknowledge(source, taken)
        assert source.state.unacked == 0


def test_waking_ends_a_poll_at_once(settings: Settings, one_broker: RunningBroker) -> None:
    with source_for(settings, one_broker.url) as source:
        connect(source)
        source.wake()
        begun = time.monotonic()
        assert source.poll(30) == []
        assert time.monotonic() - begun < 25
