"""Injected faults against their labels: what differs from the clean fleet is what the labels say, and no more."""

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from sensors_sim.fault_plan import CADENCES, FaultKind, fit_fleets, timetable
from sensors_sim.faults import FaultyFleet
from sensors_sim.fleet import SampledFleet, to_us
from sensors_sim.labels import Label, LabelFile
from sensors_sim.registry import FLEETS, build_fleet
from sensors_sim.shapes import SECOND_US
from tests.sensors_sim.worlds import START, Labels, read, run

HOUR_S = 3600
SETTLED_US = to_us(START) + (HOUR_S - 310) * SECOND_US  # what was sampled before has arrived, however late
Key = tuple[str, str, int]
ADDED = {FaultKind.SPIKE, FaultKind.STEP, FaultKind.DRIFT, FaultKind.NOISE, FaultKind.STUCK}
LOST = {FaultKind.GAP, FaultKind.MALFORMED, FaultKind.CLOCK}


def small(name: str) -> SampledFleet:
    return build_fleet(name, seed=5, start=START, users=34)


def faulty(name: str, labels: Labels) -> FaultyFleet:
    return FaultyFleet(small(name), fleets=[name], seed=5, start=START, labels=labels)


def labelled(labels: list[Label], kinds: set[FaultKind], keys: set[Key]) -> set[Key]:
    wanted = [label for label in labels if label.fault in kinds]
    return {
        key
        for key in keys
        for label in wanted
        if key[:2] == (label.device_id, label.metric) and label.start_us <= key[2] <= label.end_us
    }


@pytest.mark.parametrize("name", FLEETS)
def test_an_hour_differs_from_a_clean_one_exactly_as_labelled(name: str) -> None:
    labels = Labels()
    messages = run(faulty(name, labels), HOUR_S)
    spoilt = read(messages)
    clean: dict[Key, object] = {
        (row[2], row[3], row[1]): row[4] if row[5] is None else row[5] for row in read(run(small(name), HOUR_S)).rows
    }
    clean = {key: value for key, value in clean.items() if key[2] < SETTLED_US}
    keys = set(clean)
    rows = [row for row in spoilt.rows if row[1] < SETTLED_US]
    told = {(row[2], row[3], row[1]): row[4] if row[5] is None else row[5] for row in rows}

    assert {label.fault for label in labels} == {kind for kind in FaultKind if fit_fleets(kind, [name])}
    assert set(told) <= keys, "a fault invents no instants that the pipeline would accept"
    assert keys - set(told) == labelled(labels, LOST, keys)
    changed = {key for key, value in told.items() if value != clean[key]}
    allowed = labelled(labels, ADDED, keys)
    assert changed <= allowed
    sure = labelled(labels, {FaultKind.SPIKE, FaultKind.STEP}, keys) & set(told)
    assert sure <= changed
    repeated = {key for key, count in Counter((row[2], row[3], row[1]) for row in rows).items() if count > 1}
    assert repeated == labelled(labels, {FaultKind.DUPLICATE}, keys)
    late = {(r[2], r[3], r[1]) for r in rows if to_us(messages[r[0]].due) - r[1] > 60 * SECOND_US}
    assert late == labelled(labels, {FaultKind.LATE}, keys)
    reasons = Counter(problem.reason.value for problem in spoilt.problems)
    assert reasons["clock"] > 0
    assert set(reasons) <= {"clock", "bad_json", "bad_encoding", "bad_protobuf"}
    assert len(reasons) > 1


@pytest.mark.parametrize("name", FLEETS)
def test_spikes_are_at_least_eight_deviations_of_the_noise(name: str) -> None:
    labels = Labels()
    noises: dict[Key, float] = {}
    run(faulty(name, labels), 1200)
    for step in range(4 * 1200):
        # A fresh look at the same readings, for the noise that the fleet itself declares.
        if step == 0:
            twin = small(name)
        for frame in twin.frames(START + timedelta(seconds=step / 4)):
            noises |= {(r.device_id, r.metric, r.at_us): r.noise for r in frame.readings}
    spikes = [label for label in labels if label.fault == "spike"]
    assert spikes
    for label in spikes:
        assert abs(label.magnitude or 0) >= 8 * noises[label.device_id, label.metric, label.start_us]


def test_the_demo_shows_its_first_spike_within_two_minutes_and_then_goes_on() -> None:
    labels: dict[str, Labels] = {name: Labels() for name in FLEETS}
    fleets = [
        FaultyFleet(build_fleet(name, seed=0, start=START), fleets=list(FLEETS), seed=0, start=START, labels=sink)
        for name, sink in labels.items()
    ]
    for fleet in fleets:
        run(fleet, 900)
    spikes = sorted(
        (label.start_us, label.device_id) for sink in labels.values() for label in sink if label.fault == "spike"
    )
    assert 25 <= (spikes[0][0] - to_us(START)) / SECOND_US <= 40
    assert len(spikes) >= 7
    assert len({device for _, device in spikes}) >= 5
    assert all(second[0] - first[0] <= 125 * SECOND_US for first, second in pairwise(spikes))


@pytest.mark.parametrize("kind", FaultKind)
def test_timetables_repeat_and_give_every_fleet_its_turn(kind: FaultKind) -> None:
    fleets = list(FLEETS)
    one, same = (timetable(kind, fleets=fleets, seed=1, start=START) for _ in range(2))
    plans = [next(one) for _ in range(20)]
    assert plans == [next(same) for _ in range(20)]
    assert {plan.fleet for plan in plans} == set(fit_fleets(kind, fleets))
    first = (plans[0].at_us - to_us(START)) / SECOND_US
    assert CADENCES[kind].first_s[0] <= first <= CADENCES[kind].first_s[1]
    assert list(timetable(FaultKind.DRIFT, fleets=["us_states"], seed=1, start=START)) == []


def test_a_kind_that_befalls_no_running_fleet_does_not_hang() -> None:
    assert run(FaultyFleet(small("us_states"), fleets=["us_states"], seed=0, start=START, labels=Labels()), 1)


def test_faults_missed_during_an_outage_do_not_come_all_at_once() -> None:
    labels = Labels()
    fleet = faulty("weather", labels)
    run(fleet, 10)
    run(fleet, 5, start=START + timedelta(hours=5))
    assert len(labels) <= 2


def test_label_lines_are_there_at_once_and_appended(tmp_path: Path) -> None:
    file = LabelFile(tmp_path / "labels", "weather", START)
    assert file.path.name == "weather-20261118T095930Z.jsonl"
    assert not file.path.exists()
    start = to_us(START)
    file.write(Label("weather", "d", "temperature", "spike", start, start, 4.5))
    [line] = file.path.read_text().splitlines()  # before any close
    file.close()
    file.write(Label("weather", "d", "temperature", "gap", start, start + SECOND_US, None))
    file.close()
    assert file.path.read_text().splitlines()[0] == line
    assert json.loads(line) == {
        "fleet": "weather",
        "device_id": "d",
        "metric": "temperature",
        "fault": "spike",
        "start": "2026-11-18T09:59:30.000000Z",
        "end": "2026-11-18T09:59:30.000000Z",
        "magnitude": 4.5,
    }
    assert datetime.fromisoformat(json.loads(line)["start"]) == START
