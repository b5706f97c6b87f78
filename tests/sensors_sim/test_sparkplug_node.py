"""The edge node against the rules of Sparkplug B 3.0: births, aliases, seq, bdSeq, deaths, rebirth."""

from datetime import timedelta

from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, decode_payload, encode_payload
from sensors_sim.fleet import Message
from sensors_sim.ice_plant import DEVICES, REBIRTH, IcePlant
from tests.sensors_sim.worlds import START, read, run


def kinds(messages: list[Message]) -> list[str]:
    return [message.topic.split("/")[2] for message in messages]


def bd_seq(message: Message) -> object:
    [metric] = [metric for metric in decode_payload(message.payload).metrics if metric.name == "bdSeq"]
    return metric.value


def test_births_come_first_and_bind_what_data_uses() -> None:
    messages = run(IcePlant(seed=0, start=START), 5)
    assert kinds(messages)[:12] == ["NBIRTH", *["DBIRTH"] * 10, "DDATA"]
    aliases: dict[int, str] = {}
    for message in messages[1:11]:
        metrics = {metric.name: metric for metric in decode_payload(message.payload).metrics}
        device = message.topic.rpartition("/")[2]
        [about] = [d for d in DEVICES if d.name == device]
        assert metrics["measure"].datatype is DataType.DOUBLE
        assert metrics["Properties/type"].value == about.kind
        assert metrics["Properties/description"].value == about.description
        assert metrics["Properties/unit"].value == about.unit
        aliases[metrics["measure"].alias or 0] = device
    assert sorted(aliases) == list(range(1, 11))
    for message in messages[11:]:
        [metric] = decode_payload(message.payload).metrics
        assert metric.name == ""
        assert aliases[metric.alias or 0] == message.topic.rpartition("/")[2]
    assert all((message.qos, message.retain) == (0, False) for message in messages)


def test_seq_counts_to_255_and_begins_anew_with_each_birth() -> None:
    messages = run(IcePlant(seed=0, start=START), 90)  # over 10:00:00, when the ten minutes' rebirth is due
    seqs = [decode_payload(message.payload).seq for message in messages]
    expected = 0
    for kind, seq in zip(kinds(messages), seqs, strict=True):
        expected = 0 if kind == "NBIRTH" else expected
        assert seq == expected
        expected = (expected + 1) % 256
    assert kinds(messages).count("NBIRTH") == 2
    assert 255 in seqs


def test_a_rebirth_neither_loses_nor_repeats_a_reading() -> None:
    rows = read(run(IcePlant(seed=0, start=START), 90)).rows
    assert len({row[1:4] for row in rows}) == len(rows)


def test_each_session_has_a_new_bd_seq_in_will_birth_and_death() -> None:
    plant = IcePlant(seed=0, start=START)
    seen = []
    now = START
    for _ in range(3):
        will = plant.next_will(now)
        plant.session_started()
        now += timedelta(seconds=1)
        messages = list(plant.messages(now))
        death = plant.death(now)
        assert kinds(messages)[0] == "NBIRTH"
        assert bd_seq(will) == bd_seq(messages[0]) == bd_seq(death)
        assert decode_payload(death.payload).seq is None
        assert death.topic == "spBv1.0/ice_plant/NDEATH/sensors"
        seen.append(bd_seq(death))
    assert len(set(seen)) == 3


def test_a_rebirth_command_brings_births_and_nothing_else_does() -> None:
    plant = IcePlant(seed=0, start=START)
    list(plant.messages(START))
    assert not plant.command(b"\xffgarbage")
    assert not plant.command(encode_payload(Payload(1, None, [Metric("Other", None, 1, DataType.BOOLEAN, True)])))
    assert "NBIRTH" not in kinds(list(plant.messages(START + timedelta(seconds=1))))
    assert plant.command(encode_payload(Payload(1, None, [Metric(REBIRTH, None, 1, DataType.BOOLEAN, True)])))
    assert kinds(list(plant.messages(START + timedelta(seconds=2))))[0] == "NBIRTH"
