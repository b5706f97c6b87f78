"""What each fleet says: values, names, rates; and that it says the same whoever asks how often."""

import json
import re
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from statistics import mean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.errors import ConfigurationError
from sensors_sim.fleet import Message, from_us, to_us
from sensors_sim.ice_plant import DEVICES, IcePlant
from sensors_sim.industrial_line import CYCLE_S, MACHINES, IndustrialLine, current_level, state_of
from sensors_sim.registry import FLEETS, build_fleet
from sensors_sim.shapes import DAY_US, NOISE_LIMIT, SECOND_US, noise
from sensors_sim.us_states import ANNUAL_MEAN_F, GUIDS, STATES, UsStates, guid_of
from sensors_sim.us_states import state_of as state_of_guid
from sensors_sim.utility import INSTALLED_US, Meter, Utility
from sensors_sim.weather import NOISE_C, STATIONS, Weather
from tests.sensors_sim.worlds import START, read, run

ALL = pytest.mark.parametrize("name", FLEETS)


@ALL
@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_what_is_said_does_not_depend_on_how_often_one_asks(name: str, steps: list[int]) -> None:
    total_ms = sum(steps)
    whole = run(build_fleet(name, seed=3, start=START), total_ms / 1000, step_s=0.001)
    pieces: list[Message] = []
    fleet = build_fleet(name, seed=3, start=START)
    now = START
    for step in [0, *steps]:
        now += timedelta(milliseconds=step)
        pieces += fleet.messages(now)
    assert pieces == whole


@ALL
def test_seeds_differ_and_repeat(name: str) -> None:
    one, same, other = (run(build_fleet(name, seed=seed, start=START), 10) for seed in (1, 1, 2))
    assert one == same
    assert [m.payload for m in one] != [m.payload for m in other]


@ALL
def test_every_message_is_read_whole_by_the_built_in_mappings(name: str) -> None:
    messages = run(build_fleet(name, seed=0, start=START), 60)
    sink = read(messages)
    assert not sink.problems
    assert {row[0] for row in sink.rows} >= {i for i, m in enumerate(messages) if "NBIRTH" not in m.topic}
    assert all(row[6] for row in sink.rows if row[4] is not None), "every number has a unit"
    assert all(" " not in m.topic and len(m.payload) < 1_048_576 for m in messages)
    assert all(0 <= to_us(messages[row[0]].due) - row[1] < SECOND_US for row in sink.rows)


def test_default_rate_is_about_200_readings_a_second() -> None:
    rows = sum(len(read(run(build_fleet(name, seed=0, start=START), 60)).rows) for name in FLEETS)
    assert 180 <= rows / 60 <= 230


@ALL
def test_after_a_pause_a_fleet_goes_on_at_the_present(name: str) -> None:
    fleet = build_fleet(name, seed=0, start=START)
    run(fleet, 5)
    later = START + timedelta(hours=3)
    messages = list(fleet.messages(later))
    assert all(later - message.due <= timedelta(seconds=1) for message in messages)
    run(fleet, 5, start=START)  # the clock is set back three hours
    assert run(fleet, 10, start=START + timedelta(seconds=5))


def test_rate_factor_multiplies_messages() -> None:
    slow, fast = (len(run(Weather(seed=0, start=START, rate_factor=f), 20)) for f in (1, 10))
    assert fast == pytest.approx(10 * slow, abs=10)


def test_ice_plant_stays_in_the_ranges_and_uses_them() -> None:
    week = range(0, 7 * DAY_US, 61 * SECOND_US)
    for device in DEVICES:
        values = [device.value(0, to_us(START) + at) for at in week]
        assert device.low <= min(values) <= max(values) <= device.high
        assert max(values) - min(values) > 0.6 * (device.high - device.low)
        assert mean(values) == pytest.approx((device.low + device.high) / 2, abs=0.1 * (device.high - device.low))


def test_ice_plant_can_send_every_tenth_of_a_second() -> None:
    sink = read(run(IcePlant(seed=0, start=START, rate_factor=10), 10))
    assert {device: sum(row[2] == device for row in sink.rows) for device in {row[2] for row in sink.rows}} == {
        f"ice_plant/sensors/{device.name}": pytest.approx(101, abs=2) for device in DEVICES
    }


def test_weather_sends_a_reading_a_second_of_three_lasting_uuids() -> None:
    sink = read(run(Weather(seed=0, start=START), 60))
    devices = {row[2] for row in sink.rows}
    assert devices == {station.device_id for station in STATIONS}
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", device) for device in devices)
    assert len(sink.rows) == pytest.approx(180, abs=3)
    for device in devices:
        assert stdev(float(row[4] or 0) for row in sink.rows if row[2] == device) == pytest.approx(NOISE_C, rel=0.4)


def test_us_states_guids_states_and_walk() -> None:
    messages = [m for n in range(40) for m in run(UsStates(seed=n, start=START), 10)]
    assert all(re.fullmatch(r"us/sensors/0-ZZZ12345678-[0-8]{2}[A-Z]", m.topic) for m in messages)
    assert len(STATES) == 51
    assert {state_of_guid(guid_of(n)) for n in range(GUIDS)} == set(STATES)
    payload = json.loads(messages[0].payload)
    assert list(payload) == ["guid", "destination", "state", "eventTime", "payload"]
    assert payload["payload"]["format"] == "urn:example:sensor:temp"
    assert re.fullmatch(r"2026-11-18T09:59:\d\d\.\d{6}Z", payload["eventTime"])


def test_us_states_walk_begins_at_the_mean_and_takes_small_steps() -> None:
    # 25 messages a second: 10,000 in 400 s, which the older system's 10,000 messages are compared with.
    messages = run(UsStates(seed=0, start=START), 400)[:10_000]
    walks: dict[str, list[float]] = defaultdict(list)
    states: dict[str, set[str]] = defaultdict(set)
    for message in messages:
        payload = json.loads(message.payload)
        walks[payload["guid"]].append(payload["payload"]["data"]["temperature"])
        states[payload["guid"]].add(payload["state"])
    assert len(walks) == pytest.approx(2_086, abs=10)
    assert all(len(told) == 1 for told in states.values())
    by_state: dict[str, list[float]] = defaultdict(list)
    for guid, values in walks.items():
        assert abs(values[0] - ANNUAL_MEAN_F[state_of_guid(guid)]) <= 5.05
        assert all(abs(b - a) <= 1.0001 for a, b in pairwise(values))
        by_state[state_of_guid(guid)].append(values[0])
    for state, firsts in by_state.items():
        assert mean(firsts) == pytest.approx(ANNUAL_MEAN_F[state], abs=3)


def test_utility_batches_hold_a_hundred_readings_whatever_the_population() -> None:
    for users in (34, 120, 1_000):
        messages = run(Utility(seed=0, start=START, users=users), 6)
        assert all(len(json.loads(m.payload)["readings"]) >= 100 for m in messages)
    meters = {row[2] for row in read(run(Utility(seed=0, start=START, users=120), 6)).rows}
    assert meters == {f"m-{number:07d}" for number in range(1, 361)}


def test_utility_of_eight_million_users_needs_no_memory() -> None:
    fleet = Utility(seed=0, start=START, users=8_000_000)
    messages = list(fleet.messages(START + timedelta(milliseconds=1)))
    assert len(messages) == pytest.approx(47, abs=2)
    assert Meter(24_000_000).customer == 8_000_000


@given(number=st.integers(1, 24_000_000), hours=st.integers(1, 80_000))
def test_a_register_is_the_integral_of_its_rate(number: int, hours: int) -> None:
    meter = Meter(number)
    at_us = INSTALLED_US + hours * 3600 * SECOND_US
    minute = 60 * SECOND_US
    (rate, register), (_, later) = meter.rate_and_register(at_us), meter.rate_and_register(at_us + minute)
    assert rate > 0
    assert later - register == pytest.approx(rate / 60, rel=0.02)


def test_line_starts_with_an_inrush_and_rests() -> None:
    device = f"line_1/{MACHINES[0].name}"
    at = [to_us(START) + second * SECOND_US for second in range(2 * CYCLE_S)]
    told = {state_of(device, us) for us in at}
    assert told >= {"setup", "running"}
    levels = [current_level(device, us)[0] for us in at if state_of(device, us) == "running"]
    assert max(levels) > 2 * sorted(levels)[len(levels) // 2]
    states = [row for row in read(run(IndustrialLine(seed=0, start=START), CYCLE_S)).rows if row[3] == "state"]
    assert {row[5] for row in states} <= {"running", "idle", "fault", "setup"}
    strokes = read(run(IndustrialLine(seed=0, start=START), 60)).rows
    assert {row[3] for row in strokes if row[2] == "line_1/valve_1"} == {"travel_time_open", "travel_time_close"}


@given(st.integers(), st.integers())
def test_noise_is_bounded(seed: int, at: int) -> None:
    assert abs(noise(seed, at)) <= NOISE_LIMIT


def test_noise_has_mean_zero_and_deviation_one() -> None:
    values = [noise(7, at) for at in range(20_000)]
    assert mean(values) == pytest.approx(0, abs=0.03)
    assert stdev(values) == pytest.approx(1, abs=0.03)


@given(st.integers(0, 4_000_000_000_000_000))
def test_instants_survive_microseconds(at_us: int) -> None:
    assert to_us(from_us(at_us)) == at_us


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigurationError, match="valid values are: ice_plant"):
        build_fleet("wether", seed=0, start=START)
    with pytest.raises(ConfigurationError, match="rate_factor"):
        build_fleet("weather", seed=0, start=START, rate_factor=0)
    with pytest.raises(ConfigurationError, match="users"):
        build_fleet("utility", seed=0, start=START, users=0)
