"""Utility meters of homes and businesses (electricity, gas, water) behind gateways, as JSON batches.

The population is computed, not stored: whatever is known of a meter follows from its number, so eight
million customers take no memory. No MQTT and no faults here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from iot_pipeline.errors import ConfigurationError
from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, from_us, to_us
from sensors_sim.shapes import DAY_US, SECOND_US, WEEK_US, between, mix, noise, uniform

UTILITIES = ("electricity", "gas", "water")
REGIONS = ("central", "east", "north", "south", "west")
UNITS = {"electricity": "kWh", "gas": "m3", "water": "m3"}
# Mean rate in kW (electricity) and m3/h (gas, water).
MEAN_RATE = {
    "home": {"electricity": 0.45, "gas": 0.16, "water": 0.013},
    "business": {"electricity": 6.0, "gas": 1.4, "water": 0.12},
}
# Hour (UTC) and day of the week (0 = Monday) of the peak, and the swing about the mean of the day's curve,
# of its second harmonic and of the week's curve. The swings add up to less than 1: a meter never runs backwards.
RHYTHM = {"home": (19.0, 5.5, 0.45, 0.20, 0.10), "business": (13.0, 2.0, 0.55, 0.10, 0.25)}
BUSINESS_SHARE = 0.1
NOISE_SHARE = 0.04
INSTALLED_US = to_us(datetime(2020, 1, 1, tzinfo=UTC))
# 34 customers x 3 meters: the smallest gateway whose message holds at least 100 readings.
CUSTOMERS_PER_GATEWAY = 34
# Meters of a gateway are sampled within this time before it sends.
JITTER_MS = 500
_PERIOD_US = 5 * SECOND_US


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter, known from its number (1, 2, ...): three in a row belong to one customer."""

    number: int

    @property
    def meter_id(self) -> str:
        """E.g. `m-0000001`."""
        return f"m-{self.number:07d}"

    @property
    def customer(self) -> int:
        """The customer's number, from 1."""
        return (self.number - 1) // len(UTILITIES) + 1

    @property
    def utility(self) -> str:
        """One of UTILITIES."""
        return UTILITIES[(self.number - 1) % len(UTILITIES)]

    @property
    def kind(self) -> str:
        """`home` or `business`."""
        return "business" if uniform(self.customer, 1) < BUSINESS_SHARE else "home"

    @property
    def region(self) -> str:
        """One of REGIONS."""
        return REGIONS[mix(self.customer, 2) % len(REGIONS)]

    def rate_and_register(self, at_us: int) -> tuple[float, float]:
        """The rate without noise (kW or m3/h) and its exact integral since installation (kWh or m3)."""
        peak_hour, peak_day, day, half_day, week = RHYTHM[self.kind]
        rate = integral = 0.0
        hours = (at_us - INSTALLED_US) / SECOND_US / 3600
        peak_us = int(peak_hour * 3600 * SECOND_US)
        week_peak_us = int((peak_day - 3) * DAY_US)  # the epoch was a Thursday
        curves = ((DAY_US, peak_us, day), (DAY_US // 2, peak_us, half_day), (WEEK_US, week_peak_us, week))
        for period_us, top_us, swing in curves:
            angle = 2 * math.pi * ((at_us - top_us) % period_us) / period_us
            rate += swing * math.cos(angle)
            integral += swing * math.sin(angle) * period_us / SECOND_US / 3600 / (2 * math.pi)
        mean = MEAN_RATE[self.kind][self.utility] * between(0.6, 1.4, self.number, 3)
        return mean * (1 + rate), mean * (hours + 12 + integral)


class Utility(SampledFleet):
    """`users` customers with three meters each; every meter is read once in 5 s (divided by `rate_factor`).

    With fewer than 34 users the one gateway's messages hold fewer than 100 readings.
    """

    name = "utility"

    def __init__(self, *, seed: int, start: datetime, rate_factor: float = 1.0, users: int = 120) -> None:
        if users < 1:
            raise ConfigurationError(f"users: received {users}; it must be at least 1")
        self._gateways = max(1, users // CUSTOMERS_PER_GATEWAY)
        super().__init__(start=start, period_us=int(_PERIOD_US / rate_factor), slots=self._gateways)
        self._seed = seed
        self._users = users

    def sample(self, turn: int, at_us: int) -> Iterator[Frame]:
        """Register and rate of all meters of one gateway."""
        gateway = turn % self._gateways
        first = gateway * self._users // self._gateways * len(UTILITIES)
        last = (gateway + 1) * self._users // self._gateways * len(UTILITIES)
        readings: list[Reading] = []
        for number in range(first + 1, last + 1):
            # Whole milliseconds, as the payload tells them.
            read_us = (at_us // 1000 - mix(number, 4) % JITTER_MS) * 1000
            meter = Meter(number)
            rate, register = meter.rate_and_register(read_us)
            told = round(rate * (1 + NOISE_SHARE * noise(self._seed, number, read_us)), 5)
            readings.append(Reading(meter.meter_id, "register", read_us, round(register, 4)))
            readings.append(Reading(meter.meter_id, "rate", read_us, told, NOISE_SHARE * rate))
        yield Frame(f"utility/gateway/gw-{gateway + 1:06d}", at_us, readings)

    def encode(self, frame: Frame) -> Message:
        """`{"gateway", "readings": [{"meter", "customer", ..., "ts" in ms, "value", "rate", "unit"}, ...]}`."""
        by_meter: dict[tuple[str, int], dict[str, object]] = {}
        for reading in frame.readings:
            row = by_meter.get((reading.device_id, reading.at_us))
            if row is None:
                row = by_meter[reading.device_id, reading.at_us] = _row(reading)
            row["value" if reading.metric == "register" else "rate"] = reading.value
        payload = {"gateway": frame.topic.rpartition("/")[2], "readings": list(by_meter.values())}
        return Message(from_us(frame.due_us), frame.topic, msgspec.json.encode(payload))


def _row(reading: Reading) -> dict[str, object]:
    meter = Meter(int(reading.device_id.removeprefix("m-")))
    return {
        "meter": meter.meter_id,
        "customer": f"c-{meter.customer:07d}",
        "kind": meter.kind,
        "utility": meter.utility,
        "region": meter.region,
        "ts": reading.at_us // 1000,
        "unit": UNITS[meter.utility],
    }
