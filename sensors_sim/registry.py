"""The fleets by name and how to make one. What a fleet does is in the module of that name."""

from collections.abc import Callable, Sequence
from datetime import datetime

from iot_pipeline.errors import ConfigurationError
from sensors_sim.fleet import SampledFleet
from sensors_sim.ice_plant import IcePlant
from sensors_sim.industrial_line import IndustrialLine
from sensors_sim.us_states import UsStates
from sensors_sim.utility import Utility
from sensors_sim.weather import Weather

FLEETS: dict[str, Callable[..., SampledFleet]] = {
    fleet.name: fleet for fleet in (IcePlant, Weather, IndustrialLine, Utility, UsStates)
}


def check_fleets(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the registry's order, once each. Raises ConfigurationError for an unknown one or none."""
    for name in names:
        if name not in FLEETS:
            raise ConfigurationError.unknown_value("fleets", name, FLEETS)
    if not names:
        raise ConfigurationError(f"fleets: name at least one of {', '.join(FLEETS)}")
    return tuple(name for name in FLEETS if name in names)


def build_fleet(
    name: str, *, seed: int, start: datetime, rate_factor: float = 1.0, users: int | None = None
) -> SampledFleet:
    """A fleet whose first reading is due at `start` (UTC) or just after.

    Args:
        name: one of FLEETS.
        seed: equal seeds give equal values.
        start: the first instant.
        rate_factor: multiplies the number of messages in time; 1 is the documented rate.
        users: customers of the utility; ignored by the others.

    Raises:
        ConfigurationError: an unknown name, or a rate that is not positive.
    """
    check_fleets([name])
    if rate_factor <= 0:
        raise ConfigurationError(f"rate_factor: received {rate_factor}; it must be above 0")
    if name == Utility.name and users is not None:
        return Utility(seed=seed, start=start, rate_factor=rate_factor, users=users)
    return FLEETS[name](seed=seed, start=start, rate_factor=rate_factor)
