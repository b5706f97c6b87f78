"""Three weather stations in three climates, one noisy temperature a second each, as JSON.

Topic `weather/{station}/observation`; the station's UUID depends on its place only, so that it is the
same device after every start. No MQTT and no faults here.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, from_us, iso
from sensors_sim.shapes import DAY_US, SECOND_US, WEEK_US, daily, key_of, noise, wave

YEAR_US = 365 * DAY_US
NOISE_C = 0.4


@dataclass(frozen=True, slots=True)
class Station:
    """A place and its climate: °C, degrees, day of the year of the warmest day."""

    place: str
    latitude: float
    longitude: float
    mean_c: float
    seasonal_c: float
    daily_c: float
    warmest_day: int

    @property
    def device_id(self) -> str:
        """The UUID that the station calls itself."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sensors-sim:weather:{self.place}"))


STATIONS = (
    Station("reykjavik", 64.1466, -21.9426, 5.0, 6.0, 2.0, 205),
    Station("madrid", 40.4168, -3.7038, 15.0, 10.0, 6.0, 205),
    Station("singapore", 1.3521, 103.8198, 27.5, 0.8, 3.0, 140),
)


class Weather(SampledFleet):
    """The stations. `rate_factor` multiplies the one reading a second of each."""

    name = "weather"

    def __init__(self, *, seed: int, start: datetime, rate_factor: float = 1.0) -> None:
        super().__init__(start=start, period_us=int(SECOND_US / rate_factor), slots=len(STATIONS))
        self._seed = seed
        self._stations = {station.device_id: station for station in STATIONS}

    def sample(self, turn: int, at_us: int) -> Iterator[Frame]:
        """One station's temperature."""
        station = STATIONS[turn % len(STATIONS)]
        value = round(temperature_c(station, at_us) + NOISE_C * noise(self._seed, key_of(station.place), at_us), 2)
        device_id = station.device_id
        topic = f"weather/{device_id}/observation"
        yield Frame(topic, at_us, [Reading(device_id, "temperature", at_us, value, NOISE_C)])

    def encode(self, frame: Frame) -> Message:
        """`{"deviceid", "temperature" in °C, "latitude", "longitude", "time" in UTC}`."""
        [reading] = frame.readings
        station = self._stations[reading.device_id]
        payload = {
            "deviceid": reading.device_id,
            "temperature": reading.value,
            "latitude": station.latitude,
            "longitude": station.longitude,
            "time": iso(reading.at_us),
        }
        return Message(from_us(frame.due_us), frame.topic, msgspec.json.encode(payload))


def temperature_c(station: Station, at_us: int) -> float:
    """The station's temperature without noise: season, hour (warmest at 15:00 solar time) and passing fronts."""
    solar_peak_hour = 15.0 - station.longitude / 15.0
    return (
        station.mean_c
        + station.seasonal_c * wave(at_us, YEAR_US, station.warmest_day * DAY_US)
        + station.daily_c * daily(at_us, solar_peak_hour)
        + 0.8 * wave(at_us, WEEK_US)
        + 0.6 * wave(at_us, int(2.3 * DAY_US))
    )
