"""A map without tiles: latitude and longitude on a plane, a graticule, a scale bar, and places to find one's way by.

The projection is equirectangular, true to scale along the middle parallel (Snyder, Map Projections: A Working Manual,
USGS 1987, p. 90). The places are the cities of the time zone database, which is in the public domain and comes with
the package `tzdata`; no coastline of a free licence comes with any package that is installed. Degrees throughout.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
WIDTH, HEIGHT = 1000.0, 560.0
SMALLEST_SPAN = 0.5
MARGIN = 0.3  # of the span, on each side
MOST_LINES = 6
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45)
_COORDINATES = re.compile(r"([+-])(\d{2})(\d{2})(\d{2})?([+-])(\d{3})(\d{2})(\d{2})?")


@dataclass(frozen=True, slots=True)
class Spot:
    """A named point."""

    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the graticule: a parallel at `y` or a meridian at `x`, the other being None."""

    label: str
    x: float | None
    y: float | None


@dataclass(frozen=True, slots=True)
class MapFrame:
    """What a map shows: `north` and `west` edge, and units of the drawing per degree of latitude.

    Attributes:
        north: latitude of the upper edge.
        west: longitude of the left edge; meridians east of 180 count on.
        scale: units of the drawing per degree of latitude.
        middle: the parallel that is true to scale.
    """

    north: float
    west: float
    scale: float
    middle: float

    @property
    def south(self) -> float:
        """Latitude of the lower edge."""
        return self.north - HEIGHT / self.scale

    @property
    def degrees_wide(self) -> float:
        """Longitude from edge to edge."""
        return WIDTH / (self.scale * _narrowing(self.middle))

    def xy(self, latitude: float, longitude: float) -> tuple[float, float] | None:
        """Where a point lies on the drawing, from its upper left; None for one beyond its edges."""
        x = ((longitude - self.west) % 360) * self.scale * _narrowing(self.middle)
        y = (self.north - latitude) * self.scale
        return (x, y) if 0 <= x <= WIDTH and 0 <= y <= HEIGHT else None

    def graticule(self) -> list[Line]:
        """Parallels and meridians at round degrees."""
        step = _round_step(max(HEIGHT / self.scale, self.degrees_wide) / MOST_LINES)
        lines = [
            Line(degrees_text(latitude, "N", "S"), None, (self.north - latitude) * self.scale)
            for latitude in _multiples(step, max(self.south, -90), min(self.north, 90))
        ]
        for longitude in _multiples(step, self.west, self.west + self.degrees_wide):
            x = (longitude - self.west) * self.scale * _narrowing(self.middle)
            lines.append(Line(degrees_text((longitude + 180) % 360 - 180, "E", "W"), x, None))
        return lines

    def scale_bar(self) -> tuple[float, float]:
        """(kilometres, units of the drawing) of a bar of a round length, true along the middle parallel."""
        per_unit = math.radians(1 / self.scale) * EARTH_RADIUS_KM
        longest = 0.22 * WIDTH * per_unit
        magnitude = 10.0 ** math.floor(math.log10(longest))
        length = magnitude * max(factor for factor in (1, 2, 5) if factor * magnitude <= longest)
        return length, length / per_unit


def frame_of(points: Sequence[tuple[float, float]]) -> MapFrame:
    """A frame around (latitude, longitude) of some stations; the whole world without any."""
    if not points:
        points = [(70.0, -160.0), (-50.0, 20.0), (0.0, 160.0)]
    south, north = min(point[0] for point in points), max(point[0] for point in points)
    west, wide = _smallest_arc([point[1] for point in points])
    middle = max(-60.0, min(60.0, (south + north) / 2))
    high = max(north - south, SMALLEST_SPAN) * (1 + 2 * MARGIN)
    wide_shown = max(wide, SMALLEST_SPAN) * (1 + 2 * MARGIN)
    scale = max(
        min(HEIGHT / high, WIDTH / (wide_shown * _narrowing(middle))), WIDTH / (360 * _narrowing(middle)), HEIGHT / 180
    )
    shown_high, shown_wide = HEIGHT / scale, WIDTH / (scale * _narrowing(middle))
    top = min((south + north) / 2 + shown_high / 2, max(90.0, shown_high - 90))
    top = max(top, shown_high - 90)
    return MapFrame(top, west + wide / 2 - shown_wide / 2, scale, middle)


@cache
def places() -> tuple[Spot, ...]:
    """The cities that name the time zones of the world; none where the package `tzdata` is not installed."""
    try:
        lines = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8").splitlines()
    except (ModuleNotFoundError, FileNotFoundError):
        return ()
    return tuple(spot for line in lines if not line.startswith("#") and (spot := _spot(line)) is not None)


def nearest(latitude: float, longitude: float, spots: Iterable[Spot]) -> tuple[Spot, float] | None:
    """The nearest spot and how many kilometres away it is."""
    found = [(distance_km(latitude, longitude, spot.latitude, spot.longitude), spot) for spot in spots]
    if not found:
        return None
    distance, spot = min(found, key=lambda pair: pair[0])
    return spot, distance


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great circle distance (haversine formula) on a sphere of the mean radius."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((other_phi - phi) / 2) ** 2
    turn = math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half + math.cos(phi) * math.cos(other_phi) * turn)))


def degrees_text(degrees: float, positive: str, negative: str) -> str:
    """`40° N`, `3.7° W`, `0°`."""
    size = f"{abs(degrees):.4f}".rstrip("0").rstrip(".")
    return f"{size}°" if size == "0" else f"{size}° {positive if degrees > 0 else negative}"


def _narrowing(latitude: float) -> float:
    return math.cos(math.radians(latitude))


def _smallest_arc(longitudes: Sequence[float]) -> tuple[float, float]:
    """(west end, length) of the shortest arc that holds all: it may cross 180°."""
    # Twice: what is a hair west of Greenwich comes to 360.0 at first.
    ordered = sorted(longitude % 360 % 360 for longitude in longitudes)
    gaps = [
        ((following - longitude) % 360 or (360.0 if len(ordered) == 1 else 0.0), following)
        for longitude, following in zip(ordered, [*ordered[1:], ordered[0]], strict=True)
    ]
    gap, west = max(gaps)
    if gap == 0.0:  # all at one place
        return ordered[0], 0.0
    return west, 360.0 - gap


def _round_step(least: float) -> float:
    return next((step for step in _STEPS if step >= least), _STEPS[-1])


def _multiples(step: float, low: float, high: float) -> list[float]:
    return [round(number * step, 6) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _spot(line: str) -> Spot | None:
    columns = line.split("\t")
    told = _COORDINATES.fullmatch(columns[1]) if len(columns) > 2 else None
    if told is None:
        return None
    north, *latitude = told.groups()[:4]
    east, *longitude = told.groups()[4:]
    name = columns[2].rpartition("/")[2].replace("_", " ")
    return Spot(name, _degrees(north or "+", latitude), _degrees(east or "+", longitude))


def _degrees(sign: str, parts: Iterable[str | None]) -> float:
    value = sum(int(part or 0) / 60.0**power for power, part in enumerate(parts))
    return -value if sign == "-" else value
