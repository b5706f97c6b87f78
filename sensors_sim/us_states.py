"""Sensors with a guid in the states of the USA: each message is one temperature of one sensor, as JSON.

Which sensor speaks next is random; a guid keeps its state for ever. Its first value is the state's
annual mean ± 5 °F, then it walks by at most 1 °F a message. No MQTT and no faults here.
"""

import string
from collections.abc import Iterator
from datetime import datetime

import msgspec

from iot_pipeline.errors import ConfigurationError
from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, from_us, iso
from sensors_sim.shapes import SECOND_US, between, daily, key_of, mix, weekly

ANNUAL_MEAN_F = {
    "WA": 48.3, "DE": 55.3, "DC": 58.5, "WI": 43.1, "WV": 51.8, "HI": 70.0, "FL": 70.7, "WY": 42.0, "NH": 43.8,
    "NJ": 52.7, "NM": 53.4, "TX": 64.8, "LA": 66.4, "NC": 59.0, "ND": 40.4, "NE": 48.8, "TN": 57.6, "NY": 45.4,
    "PA": 48.8, "CA": 59.4, "NV": 49.9, "VA": 55.1, "CO": 45.1, "AK": 26.6, "AL": 62.8, "AR": 60.4, "VT": 42.9,
    "IL": 51.8, "GA": 63.5, "IN": 51.7, "IA": 47.8, "OK": 59.6, "AZ": 60.3, "ID": 44.4, "CT": 49.0, "ME": 41.0,
    "MD": 54.2, "MA": 47.9, "OH": 50.7, "UT": 48.6, "MO": 54.5, "MN": 41.2, "MI": 44.4, "RI": 50.1, "KS": 54.3,
    "MT": 42.7, "MS": 63.4, "SC": 62.4, "KY": 55.6, "OR": 48.4, "SD": 45.2,
}  # fmt: skip
STATES = tuple(sorted(ANNUAL_MEAN_F))
DESTINATION = "0-AAA12345678"
GUIDS = 9 * 9 * 26
FIRST_SPREAD_F = 5.0
STEP_F = 1.0
# How strongly the walk is drawn to its state's curve: without it a week's walk would end anywhere.
_PULL = 0.03
# Standard deviation of a walk with that pull: step / sqrt(3) / sqrt(2 * pull), rounded up.
NOISE_F = 2.5


def guid_of(number: int) -> str:
    """The guid of sensor 0 … GUIDS - 1: a fixed prefix, two digits 0-8 and a letter."""
    digits, letter = divmod(number, 26)
    return f"0-ZZZ12345678-{digits // 9}{digits % 9}{string.ascii_uppercase[letter]}"


def state_of(guid: str) -> str:
    """The state in which a sensor stands."""
    return STATES[mix(key_of(guid)) % len(STATES)]


class UsStates(SampledFleet):
    """The sensors. Memory: one number for each guid that has spoken, at most `sensors` of them."""

    name = "us_states"

    def __init__(
        self, *, seed: int, start: datetime, rate_factor: float = 1.0, sensors: int = GUIDS, messages_per_s: float = 25
    ) -> None:
        if not 1 <= sensors <= GUIDS:
            raise ConfigurationError(f"sensors: received {sensors}; there are guids for 1 to {GUIDS}")
        super().__init__(start=start, period_us=int(SECOND_US / rate_factor / messages_per_s), slots=1)
        self._seed = seed
        self._sensors = sensors
        self._last: dict[str, float] = {}

    def sample(self, turn: int, at_us: int) -> Iterator[Frame]:
        """The next value of a sensor that chance picks."""
        guid = guid_of(mix(self._seed, turn) % self._sensors)
        mean = ANNUAL_MEAN_F[state_of(guid)]
        last = self._last.get(guid)
        if last is None:
            value = round(mean + between(-FIRST_SPREAD_F, FIRST_SPREAD_F, self._seed, turn, 1), 1)
        else:
            # The curve is what the walk is drawn to (warmest at 15:00 in the middle of the country), so that no
            # step is ever longer than STEP_F. One decimal in, one out: rounding keeps that promise.
            curve = mean + 4.0 * daily(at_us, 21) + 1.0 * weekly(at_us, 3)
            step = between(-STEP_F, STEP_F, self._seed, turn, 2) - _PULL * (last - curve)
            value = round(last + min(STEP_F, max(-STEP_F, step)), 1)
        self._last[guid] = value
        yield Frame(f"us/sensors/{guid}", at_us, [Reading(guid, "temperature", at_us, value, NOISE_F)])

    def encode(self, frame: Frame) -> Message:
        """`{"guid", "destination", "state", "eventTime", "payload": {"format", "data": {"temperature"}}}`, °F."""
        [reading] = frame.readings
        payload = {
            "guid": reading.device_id,
            "destination": DESTINATION,
            "state": state_of(reading.device_id),
            "eventTime": iso(reading.at_us),
            "payload": {"format": "urn:example:sensor:temp", "data": {"temperature": reading.value}},
        }
        return Message(from_us(frame.due_us), frame.topic, msgspec.json.encode(payload))
