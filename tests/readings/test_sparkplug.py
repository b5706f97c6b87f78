"""Sparkplug sessions as landing tells them: what aliases mean, and which devices are there."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE
from iot_pipeline.protocols.sparkplug_b import (
    DataType,
    MessageType,
    Metric,
    Payload,
    SparkplugTopic,
    decode_payload,
    encode_payload,
    parse_topic,
)
from iot_pipeline.protocols.sparkplug_schema import PayloadMessage
from iot_pipeline.protocols.sparkplug_state import HostState, encode_state, state_topic
from iot_pipeline.readings.build import build_minutes, device_tree, quarantine_tree
from iot_pipeline.readings.decoding.births import BirthBook, OlderBirths, binds_names
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.language.times import microseconds
from iot_pipeline.settings import Settings, load_settings
from tests.readings.landed import BUILT_IN, NOW, Sent, decode, decode_all, land, settings_in
from tests.readings.stored import read_event_minutes

EVENT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
Told = tuple[str, bytes]


def at_ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def message(
    kind: MessageType, *metrics: Metric, node: str = "edge", device: str | None = None, sent: datetime = EVENT
) -> Told:
    return str(SparkplugTopic("plant", kind, node, device)), encode_payload(Payload(at_ms(sent), 1, list(metrics)))


def session(bd_seq: int) -> Metric:
    return Metric("bdSeq", datatype=DataType.INT64, value=bd_seq)


def nbirth(bd_seq: int, name: str = "t", sent: datetime = EVENT) -> Told:
    return message(MessageType.NBIRTH, session(bd_seq), Metric(name, 1, datatype=DataType.DOUBLE, value=1.0), sent=sent)


def dbirth(name: str = "v", device: str = "dev", sent: datetime = EVENT) -> Told:
    return message(MessageType.DBIRTH, Metric(name, 2, datatype=DataType.DOUBLE, value=1.0), device=device, sent=sent)


def ndata(value: float, sent: datetime = EVENT) -> Told:
    return message(MessageType.NDATA, Metric("", 1, value=value), sent=sent)


def ddata(value: float, device: str = "dev", sent: datetime = EVENT) -> Told:
    return message(MessageType.DDATA, Metric("", 2, value=value), device=device, sent=sent)


def ndeath(bd_seq: int) -> Told:
    return message(MessageType.NDEATH, session(bd_seq))


def ddeath(device: str = "dev", sent: datetime = EVENT) -> Told:
    return message(MessageType.DDEATH, device=device, sent=sent)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path / "data")


def minutes_of(script: list[list[Told]]) -> list[list[Sent]]:
    """Messages of consecutive landing minutes."""
    return [
        [(NOW + number * MINUTE + timedelta(milliseconds=index), *told) for index, told in enumerate(minute)]
        for number, minute in enumerate(script)
    ]


# Names differ from session to session, so a wrong binding shows.
words = st.one_of(
    st.builds(lambda seq: nbirth(seq, f"t{seq}"), st.integers(0, 2)),
    st.builds(lambda seq: dbirth(f"v{seq}"), st.integers(0, 2)),
    st.builds(ndata, st.floats(0, 9)),
    st.builds(ddata, st.floats(0, 9)),
    st.builds(ndeath, st.integers(0, 2)),
    st.just(ddeath()),
)


def found(sink: Sink) -> tuple[object, ...]:
    problems = [(problem.message, problem.reason, problem.field) for problem in sink.problems]
    return sink.rows, problems, sorted(sink.states.items(), key=str)


@given(st.lists(st.lists(words, max_size=4), min_size=1, max_size=6))
def test_a_minute_means_the_same_decoded_alone_and_after_the_others(script: list[list[Told]]) -> None:
    minutes = minutes_of(script)
    limits = limits_of(load_settings())
    going_on = MessageDecoder(BUILT_IN, limits)
    for number, minute in enumerate(minutes):
        sent = [(topic, payload, microseconds(at)) for at, topic, payload in minute]

        def older(before: int = number) -> OlderBirths:
            for earlier in reversed(script[:before]):
                yield [(topic, payload) for topic, payload in earlier if binds_names(parse_topic(topic))]

        at_once, alone = Sink(), Sink()
        decode_all(going_on, sent, at_once)
        decode_all(MessageDecoder(BUILT_IN, limits, BirthBook(older)), sent, alone)
        assert found(alone) == found(at_once)


def test_a_node_is_looked_for_no_further_than_its_birth() -> None:
    read = []

    def older() -> OlderBirths:
        for minute in ([dbirth()], [nbirth(1)], [dbirth(device="old")]):
            read.append(minute)
            yield minute

    book = BirthBook(older)
    topic = parse_topic("spBv1.0/plant/DDATA/edge/unborn")
    assert topic is not None
    assert book.in_force(topic) is None
    assert len(read) == 2


def everything(settings: Settings, minutes: list[datetime]) -> list[pl.DataFrame]:
    return [
        read_event_minutes(settings.paths, EVENT, EVENT + 9 * MINUTE),
        quarantine_tree(settings.paths).read(minutes[0], minutes[-1]),
        device_tree(settings.paths).read(minutes[0], minutes[-1]),
    ]


def test_a_minute_decoded_a_year_later_without_the_landing_of_its_births_is_the_same(settings: Settings) -> None:
    later = EVENT + MINUTE
    script = [
        [nbirth(1), dbirth(), dbirth("w", "gone")],
        [ndeath(0), ddeath("gone")],
        [ndata(2.0, later), ddata(3.0, sent=later), ddata(4.0, "gone", later)],
    ]
    minutes = land(settings, [sent for minute in minutes_of(script) for sent in minute])
    build_minutes(settings, BUILT_IN, minutes)
    first = everything(settings, minutes)
    assert first[0].filter(pl.col("event_ts") == later)["metric"].to_list() == ["t", "v"]
    assert first[1]["reason"].to_list() == ["unknown_alias"]
    # What retention takes: landing of old minutes. The births stay.
    for minute in minutes[:2]:
        shutil.rmtree(settings.paths.landing / f"dt={minute:%Y-%m-%d}" / f"hm={minute:%H%M}")
    build_minutes(settings, BUILT_IN, minutes[2:])
    assert all(again.equals(before) for again, before in zip(everything(settings, minutes), first, strict=True))


@pytest.mark.parametrize("built", [[2, 1, 0], [1, 2, 0, 1, 2], [0, 2, 1]])
def test_the_order_in_which_minutes_are_decoded_does_not_matter(settings: Settings, built: list[int]) -> None:
    script = [[nbirth(1), dbirth()], [ndeath(1), ndata(2.0)], [ddata(3.0), nbirth(2), dbirth("w")]]
    minutes = land(settings, [sent for minute in minutes_of(script) for sent in minute])
    for number in built:
        build_minutes(settings, BUILT_IN, [minutes[number]])
    one_by_one = everything(settings, minutes)
    build_minutes(settings, BUILT_IN, minutes)
    assert all(again.equals(before) for again, before in zip(everything(settings, minutes), one_by_one, strict=True))


def states(settings: Settings, script: list[Told]) -> dict[str, tuple[str | None, datetime | None]]:
    [minute] = land(settings, minutes_of([script])[0])
    build_minutes(settings, BUILT_IN, [minute])
    devices = device_tree(settings.paths).read(minute, minute)
    return {name: (state, since) for name, state, since in devices.select("device_id", "state", "state_since").rows()}


def test_births_tell_who_is_online_and_deaths_who_is_not(settings: Settings) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline"""
    second = EVENT + timedelta(seconds=1)
    assert states(settings, [nbirth(1), dbirth(), dbirth("w", "gone"), ddeath("gone", second)]) == {
        "plant/edge": ("online", EVENT),
        "plant/edge/dev": ("online", EVENT),
        "plant/edge/gone": ("offline", second),
    }


def test_the_death_of_a_node_is_told_of_its_devices_at_the_time_of_its_receipt(settings: Settings) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline"""
    received = NOW + timedelta(milliseconds=2)
    told = states(settings, [nbirth(1), dbirth(), ndeath(1)])
    assert told == dict.fromkeys(("plant/edge", "plant/edge/dev"), ("offline", received))


def test_the_death_of_another_session_takes_nobody_offline(settings: Settings) -> None:
    """tck-id-payloads-ndeath-bdseq"""
    assert states(settings, [nbirth(2), ndeath(1)]) == {"plant/edge": ("online", EVENT)}


def test_a_node_that_measures_nothing_is_no_device(settings: Settings) -> None:
    control = Metric("Node Control/Rebirth", datatype=DataType.BOOLEAN, value=False)
    text = Metric("Properties/Vendor", datatype=DataType.STRING, value="x")
    bare = message(MessageType.NBIRTH, session(1), control, text)
    assert states(settings, [bare, dbirth(), ndeath(1)]) == {
        "plant/edge/dev": ("offline", NOW + timedelta(milliseconds=2))
    }


def test_devices_that_do_not_tell_have_no_state(settings: Settings) -> None:
    assert states(settings, [nbirth(1), ndata(1.0)])["plant/edge"] == ("online", EVENT)
    [minute] = land(settings, [(NOW + 3 * MINUTE, *ndata(1.0))], batch=2)
    build_minutes(settings, BUILT_IN, [minute])
    assert device_tree(settings.paths).read(minute, minute)["state"].to_list() == [None]


def test_the_connection_of_our_own_host_has_a_row(settings: Settings) -> None:
    connected = NOW - timedelta(seconds=1)
    topic = state_topic("iot-pipeline")
    online = encode_state(HostState(online=True, timestamp=at_ms(connected)))
    script: list[Told] = [
        (topic, encode_state(HostState(online=False, timestamp=1))),
        (topic, online),
        (topic, encode_state(HostState(online=True, timestamp=at_ms(NOW + 9 * MINUTE)))),
        (topic, b"OFFLINE"),
        (state_topic("other"), encode_state(HostState(online=True, timestamp=at_ms(NOW)))),
    ]
    assert states(settings, script) == {topic: ("host", connected)}


def test_historical_values_do_not_become_the_latest(settings: Settings) -> None:
    past = EVENT - timedelta(seconds=30)
    old = Metric("t", datatype=DataType.DOUBLE, value=9.0, timestamp_ms=at_ms(past), is_historical=True)
    [minute] = land(settings, minutes_of([[nbirth(1), message(MessageType.NDATA, old)]])[0])
    build_minutes(settings, BUILT_IN, [minute])
    [device] = device_tree(settings.paths).read(minute, minute).to_dicts()
    assert (device["first_event_ts"], device["last_event_ts"], device["reading_count"]) == (past, EVENT, 2)


@pytest.mark.parametrize("number", [17, 18, 19], ids=["data set", "template", "extension"])
def test_templates_and_data_sets_are_skipped_with_a_reason_and_disturb_nobody(number: int) -> None:
    raw = PayloadMessage()
    raw.timestamp = at_ms(EVENT)
    raw.seq = 1
    whole = raw.metrics.add(name="whole")
    # Field `number` with wire type 2, in two bytes; then the length and the content of a nested message.
    key = number << 3 | 2
    whole.MergeFromString(bytes([key & 0x7F | 0x80, key >> 7, 2, 0x08, 0x01]))
    raw.metrics.add(name="t", datatype=int(DataType.DOUBLE), double_value=1.5)
    payload = raw.SerializeToString()
    assert decode_payload(payload).metrics[0].value is None
    sink = decode(BUILT_IN, [(NOW, "spBv1.0/plant/NDATA/edge", payload)])
    assert [row[3:5] for row in sink.rows] == [("t", 1.5)]
    assert [(problem.reason.value, problem.field) for problem in sink.problems] == [("unsupported_type", "whole")]
