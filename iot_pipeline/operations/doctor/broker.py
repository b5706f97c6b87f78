"""Does the broker answer, and do its limits let the collector work? A broker's defaults often do not."""

from collections.abc import Iterator

from iot_pipeline.operations.broker_probe import BrokerAnswer, probe
from iot_pipeline.operations.doctor.finding import Finding, Verdict, grade
from iot_pipeline.settings import Settings

# Mosquitto's default is 20: batches of 20 messages, while its queue overflows.
RECEIVE_MAXIMUM_FAIL, RECEIVE_MAXIMUM_WARN = 100, 10_000

RAISE_WINDOW = (
    "set max_inflight_messages to 65535 (Mosquitto) or its like: with fewer in flight, batches do not fill "
    "and the broker's queue overflows"
)
RAISE_QUEUE = "Mosquitto keeps 1,000 by default: set max_queued_messages 5000000, persistence true, autosave_interval 5"


def check_broker(settings: Settings) -> Iterator[Finding]:
    """The broker answers with QoS 1 and a window wide enough for batches."""
    answer = probe(settings)
    if answer.refused is None:
        yield from judge(settings.broker_url, answer)
    elif "broker_url" in settings.model_fields_set:
        hint = "start it, or correct IOT_BROKER_URL and its user and password"
        yield Finding("broker", Verdict.fail, f"{settings.broker_url}: {answer.refused}", hint)
    else:
        yield Finding("broker", Verdict.warn, "the embedded broker is not running", "it runs with `iot up`")


def judge(url: str, answer: BrokerAnswer) -> Iterator[Finding]:
    """What the answer of a broker that took the connection means for the collector."""
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
        unknown = "no broker tells how much it keeps for an absent collector"
        yield Finding("broker queue", Verdict.warn if verdict is not Verdict.ok else Verdict.ok, unknown, RAISE_QUEUE)
