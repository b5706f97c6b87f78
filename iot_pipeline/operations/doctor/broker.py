"""Does the broker answer, and do its limits let the collector work? A broker's defaults often do not."""

from collections.abc import Iterator, Mapping

from iot_pipeline.errors import BrokerUnavailable
from iot_pipeline.operations.broker_probe import (
    QUEUE_PROBE,
    BrokerAnswer,
    Kept,
    figures,
    kept_for_an_absent_client,
    probe,
)
from iot_pipeline.operations.doctor.finding import Finding, Verdict, grade
from iot_pipeline.settings import Settings

# Mosquitto's default is 20: batches of 20 messages, while its queue overflows.
RECEIVE_MAXIMUM_FAIL, RECEIVE_MAXIMUM_WARN = 100, 10_000

RAISE_WINDOW = (
    "set max_inflight_messages to 65535 (Mosquitto) or its like: with fewer in flight, batches do not fill "
    "and the broker's queue overflows"
)
RAISE_QUEUE = (
    "set max_queued_messages 5000000 and max_queued_bytes 2147483648 (Mosquitto keeps 1,000 messages by default "
    "and drops the rest without a word); docs/mosquitto.conf is a whole configuration"
)
UNSEEN = "what a crash of Mosquitto costs cannot be seen from outside: see that it has the lines of docs/mosquitto.conf"
FORGOTTEN = "end sessions that nobody comes back to with `iot forget CLIENT_ID`, or set persistent_client_expiration"
# Fewer do not matter; retained messages count as well.
STORED_WARN = 100_000


def check_broker(settings: Settings) -> Iterator[Finding]:
    """The broker answers with QoS 1 and a window wide enough for batches."""
    answer = probe(settings)
    if answer.refused is None:
        yield from judge(settings.broker_url, answer, longest=settings.max_payload_bytes)
        try:
            told, kept = figures(settings), kept_for_an_absent_client(settings)
        except (OSError, BrokerUnavailable) as error:
            yield Finding("broker", Verdict.fail, f"{settings.broker_url}: {error}", "run `iot doctor` again")
        else:
            yield judge_queue(kept, mosquitto=told.get("version", "").startswith("mosquitto"))
            yield from judge_figures(told)
    elif "broker_url" in settings.model_fields_set:
        hint = "start it, or correct IOT_BROKER_URL and its user and password"
        yield Finding("broker", Verdict.fail, f"{settings.broker_url}: {answer.refused}", hint)
    else:
        yield Finding("broker", Verdict.warn, "the embedded broker is not running", "it runs with `iot up`")


def judge(url: str, answer: BrokerAnswer, *, longest: int) -> Iterator[Finding]:
    """What the answer of a broker that took the connection means for the collector and for payloads that long."""
    window = answer.receive_maximum
    if answer.maximum_qos < 1:
        lost = "allow QoS 1: without it messages are lost whenever the collector restarts"
        yield Finding("broker", Verdict.fail, f"{url} allows QoS 0 only", lost)
    elif window is None:
        yield Finding("broker", Verdict.ok, f"{url} speaks MQTT 3.1.1, as the embedded one does; it tells no limits")
    else:
        verdict = grade(window, fail=RECEIVE_MAXIMUM_FAIL, warn=RECEIVE_MAXIMUM_WARN)
        seen = f"{url} speaks MQTT 5, {window:,} messages in flight"
        yield Finding("broker", verdict, seen, "" if verdict is Verdict.ok else RAISE_WINDOW)
    if answer.maximum_packet is not None and answer.maximum_packet < longest:
        seen = f"takes packets of up to {answer.maximum_packet:,} bytes; longer ones end their publisher's connection"
        raise_it = f"set max_packet_size above {longest:,} (IOT_MAX_PAYLOAD_BYTES), or set that one lower"
        yield Finding("broker packets", Verdict.warn, seen, raise_it)


def judge_queue(kept: Kept | None, *, mosquitto: bool) -> Finding:
    """What the broker kept of messages for a session that was away."""
    if kept is None or not kept.qos_1:
        unknown = "does not let `iot doctor` try how much it keeps for an absent collector (topics $iot-doctor/...)"
        return Finding("broker queue", Verdict.warn, unknown, RAISE_QUEUE)
    if kept.qos_1 < QUEUE_PROBE:
        lost = f"kept {kept.qos_1:,} of {QUEUE_PROBE:,} messages for an absent client, and acknowledged all of them"
        return Finding("broker queue", Verdict.fail, lost, RAISE_QUEUE)
    lightly = "those of QoS 0, too" if kept.qos_0 else "those of QoS 0 are lost while it is away"
    seen = f"keeps {QUEUE_PROBE:,} messages and more for an absent collector; {lightly}"
    return Finding("broker queue", Verdict.ok, seen, UNSEEN if mosquitto else "")


def judge_figures(told: Mapping[str, str]) -> Iterator[Finding]:
    """What a broker's own figures (`$SYS`) say of messages that were lost or that nobody fetches."""
    dropped = _count(told, "publish/messages/dropped")
    if dropped:
        seen = f"has dropped {dropped:,} messages since it started"
        yield Finding("broker drops", Verdict.warn, seen, f"{RAISE_QUEUE}. It counts all clients, not only collectors")
    absent, stored = _count(told, "clients/disconnected"), _count(told, "store/messages/count")
    if absent and stored >= STORED_WARN:
        seen = f"holds {stored:,} messages; {absent} clients with sessions are away"
        yield Finding("broker sessions", Verdict.warn, seen, FORGOTTEN)


def _count(told: Mapping[str, str], name: str) -> int:
    text = told.get(name, "")
    return int(text) if text.isdecimal() else 0
