"""The measuring points of the ice plant, their operating ranges, and which device fills which.

The ranges are those in which the plant is run; what is measured there now is `ice_plant/view.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A measuring point of the plant and the range in which it is run.

    Attributes:
        key: names it on the drawing.
        name: of the device that fills it, as long as nobody knows what the devices tell of themselves.
        kind: type that its device tells of itself.
        description: what its device says it measures.
        caption: on the drawing, beside the part of the plant.
        unit: of `low` and `high`.
        low: lower end of the operating range.
        high: upper end of it.
        decimals: shown of its measures.
    """

    key: str
    name: str
    kind: str
    description: str
    caption: str
    unit: str
    low: float
    high: float
    decimals: int

    @property
    def title(self) -> str:
        """What it measures. Volt and ampere both call themselves "Compressor"."""
        return _TITLES.get(self.key, self.description)

    @property
    def short_unit(self) -> str:
        """The unit where there is little room."""
        return _SHORT_UNITS.get(self.unit, self.unit)

    @property
    def band(self) -> str:
        """The operating range in words."""
        return f"{decimal(self.low, self.decimals)} to {decimal(self.high, self.decimals)} {self.unit}"


_PRESSURE, _CELSIUS = "pressure_sensor", "temperature_sensor"
_OUTLET = "Outlet temperature"
# fmt: off
PLACES = (
    Place("voltage", "device_1", "voltmeter", "Compressor", "Voltage", "V", 220, 230, 1),
    Place("current", "device_2", "ammeter", "Compressor", "Current", "A", 45, 50, 1),
    Place("suction", "device_3", _PRESSURE, "Compressor inlet pressure", "Inlet pressure", "bar", 0.45, 0.55, 3),
    Place("discharge", "device_4", _PRESSURE, "Compressor outlet pressure", "Outlet pressure", "bar", 9.5, 10.0, 2),
    Place("hot_gas", "device_5", _CELSIUS, "Compressor outlet temperature", _OUTLET, "°C", 52, 55, 1),
    Place("condensate", "device_6", _CELSIUS, "Condenser outlet temperature", _OUTLET, "°C", 29, 31, 1),
    Place("flow", "device_7", "flow_meter", "Condenser outlet flow", "Outlet flow", "liter per hour", 3.0, 3.3, 2),
    Place("expanded", "device_8", _CELSIUS, "Thermal expansion valve outlet temperature", _OUTLET, "°C", -16, -15, 1),
    Place("brine", "device_9", _CELSIUS, "Brine temperature", "Brine", "°C", -5, -4, 1),
    Place("evaporated", "device_10", _CELSIUS, "Evaporator outlet temperature", _OUTLET, "°C", -6, -5, 1),
)
# fmt: on
_TITLES: Mapping[str, str] = {"voltage": "Compressor voltage", "current": "Compressor current"}
_SHORT_UNITS: Mapping[str, str] = {"liter per hour": "l/h"}
_BY_WORDS: Mapping[tuple[str, str], Place] = {(place.kind, place.description.casefold()): place for place in PLACES}
_BY_NAME: Mapping[str, Place] = {place.name: place for place in PLACES}


def place_of(kind: str | None, description: str | None) -> Place | None:
    """The place of a device that tells what it is."""
    return _BY_WORDS.get((kind or "", (description or "").casefold()))


def place_named(name: str, unit: str | None) -> Place | None:
    """The place of a device of which only its name and the unit of its measures are known."""
    place = _BY_NAME.get(name)
    return place if place is not None and place.unit == unit else None


def decimal(value: float, decimals: int) -> str:
    """A number with a true minus sign, so that columns of figures line up."""
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
