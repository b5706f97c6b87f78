"""From a figure back to the message: by its id, in the one landed file that holds it."""

import base64
import contextlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from iot_pipeline.landing.layout import landed_files
from iot_pipeline.landing.message import Message, message_id
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.retained import Level, mark_kept_since
from iot_pipeline.serving.messages import PAYLOAD_SHOWN, MessageRemoved, NoMessageId, raw_message
from iot_pipeline.settings import Settings, load_settings
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import problem, serving

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
COLLECTOR = "collector-1-sparkplug"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path / "data")


def landed(settings: Settings, messages: list[Message], *, numbered_at: datetime = TEN + timedelta(seconds=5)) -> int:
    """Land a batch; its number."""
    delay = settings.intake_delay
    return BatchWriter(settings.paths, COLLECTOR, intake_delay=delay, now=lambda: numbered_at).write(messages).number


def message(payload: bytes = b"1", seconds: float = 0, *, topic: str = "a/b") -> Message:
    return Message(TEN + timedelta(seconds=seconds), "mqtt", topic, payload, 1, retain=True)


def test_each_message_of_a_batch_is_found_by_its_id(settings: Settings) -> None:
    batch = landed(settings, [message(b"%d" % row, row, topic=f"t/{row}") for row in range(5)])
    for row in range(5):
        found = raw_message(settings.paths, message_id(COLLECTOR, batch, row))
        assert found is not None
        assert (found.topic, found.payload, found.payload_size) == (f"t/{row}", b"%d" % row, 1)
        assert (found.received_at, found.source, found.qos, found.retain) == (
            TEN + timedelta(seconds=row),
            "mqtt",
            1,
            True,
        )
    assert raw_message(settings.paths, message_id(COLLECTOR, batch, 5)) is None
    assert raw_message(settings.paths, message_id(COLLECTOR, batch + 1, 0)) is None


def test_a_batch_of_two_landing_minutes_is_one_to_who_asks(settings: Settings) -> None:
    batch = landed(settings, [message(b"before", 9), message(b"after", 11)], numbered_at=TEN + timedelta(seconds=12))
    assert len(landed_files(settings.paths, TEN)) == len(landed_files(settings.paths, TEN - timedelta(minutes=1))) == 1
    found = [raw_message(settings.paths, message_id(COLLECTOR, batch, row)) for row in range(2)]
    assert [one and one.payload for one in found] == [b"before", b"after"]


@pytest.mark.parametrize("late", [timedelta(hours=3), timedelta(days=-2)])
def test_a_batch_that_was_numbered_far_from_its_receipt_is_found_by_the_ledger(
    settings: Settings, late: timedelta
) -> None:
    # A disk that was full for hours; a clock that was set back.
    batch = landed(settings, [message(b"far")], numbered_at=TEN + late)
    found = raw_message(settings.paths, message_id(COLLECTOR, batch, 0))
    assert found is not None
    assert found.payload == b"far"


def test_of_a_long_payload_the_beginning_is_given(settings: Settings) -> None:
    batch = landed(settings, [message(b"x" * (PAYLOAD_SHOWN + 7))])
    found = raw_message(settings.paths, message_id(COLLECTOR, batch, 0))
    assert found is not None
    assert (len(found.payload), found.payload_size) == (PAYLOAD_SHOWN, PAYLOAD_SHOWN + 7)


def test_what_retention_removed_is_told_and_what_never_was_is_not(settings: Settings) -> None:
    batch = landed(settings, [message()])
    for path in landed_files(settings.paths, TEN - timedelta(minutes=1)):
        path.unlink()
    assert raw_message(settings.paths, message_id(COLLECTOR, batch, 0)) is None
    mark_kept_since(settings.paths, Level.LANDING, date(2026, 11, 21))
    with pytest.raises(MessageRemoved, match="kept from 2026-11-21 on"):
        raw_message(settings.paths, message_id(COLLECTOR, batch, 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "collector-1",
        "../../etc/passwd-1-1",
        "c/../x-1-1",
        "c-1-01",
        "c-1--1",
        "C-1-1",
        "c-1-1\n",
        "c-99999999999999999-1",
    ],
)
def test_a_text_that_no_collector_gave_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(NoMessageId, match="message_id"):
        raw_message(settings.paths, text)


@given(text=st.text() | st.from_regex(r"[a-z0-9.-]{1,20}-[0-9]{1,18}-[0-9]{1,10}", fullmatch=True))
@settings_of_hypothesis(deadline=None)
def test_whatever_is_asked_for_nothing_is_found_in_an_empty_folder(text: str) -> None:
    paths = load_settings(data=Path("nowhere")).paths
    with contextlib.suppress(NoMessageId):
        assert raw_message(paths, text) is None


def test_the_api_gives_text_as_text_and_bytes_in_base64(settings: Settings) -> None:
    cut = "ä".encode() * PAYLOAD_SHOWN
    sent = ['{"t":"5 °C"}'.encode(), b"\x08\xff\x00", b"", cut, b"a" + cut]
    batch = landed(settings, [message(payload) for payload in sent])
    with serving(settings, RecordedLive()) as api:
        ids = [message_id(COLLECTOR, batch, row) for row in range(len(sent))]
        told = [api.get("/api/v1/messages", params={"message_id": one}).json() for one in ids]
        again = api.get("/api/v1/messages", params={"message_id": ids[0]})
        assert (
            api.get(
                "/api/v1/messages", params={"message_id": ids[0]}, headers={"If-None-Match": again.headers["etag"]}
            ).status_code
            == 304
        )
    assert [(one["payload"], one["encoding"]) for one in told[:3]] == [
        ('{"t":"5 °C"}', "utf-8"),
        (base64.b64encode(sent[1]).decode(), "base64"),
        ("", "utf-8"),
    ]
    assert [one["truncated"] for one in told] == [False, False, False, True, True]
    assert told[3]["payload"] == "ä" * (PAYLOAD_SHOWN // 2)
    # The cut goes through the last character.
    assert told[4]["payload"] == "a" + "ä" * (PAYLOAD_SHOWN // 2 - 1)
    assert told[4]["payload_size"] == len(cut) + 1


def test_the_api_tells_unknown_removed_and_impossible_ids_apart(settings: Settings) -> None:
    batch = landed(settings, [message()])
    mark_kept_since(settings.paths, Level.LANDING, date(2026, 11, 20))
    with serving(settings, RecordedLive()) as api:

        def ask(text: str, status: int) -> str:
            kind: str = problem(api.get("/api/v1/messages", params={"message_id": text}), status)["type"]
            return kind.rsplit(":", 1)[1]

        assert ask(message_id(COLLECTOR, batch, 7), 404) == "unknown-message"
        assert ask(message_id(COLLECTOR, batch - 86_400_000_000, 0), 410) == "removed-message"
        assert ask("../../../etc/passwd", 422) == "invalid-parameters"
        assert ask("c-1-1-", 422) == "invalid-parameters"
