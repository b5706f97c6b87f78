"""The drawing of the refrigeration circuit, once wide and once for narrow screens, and where its measures stand.

Nothing here comes from outside: the drawing is constant. Colours are classes of `static/plants.css`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from types import MappingProxyType

DESCRIPTION = (
    "Refrigeration circuit: the compressor presses hot gas through the condenser, where it becomes liquid; the thermal "
    "expansion valve lets it expand; in the evaporator it boils and cools the brine, and returns to the compressor."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to lay the plant out.

    Attributes:
        name: of the layout, a CSS class.
        width: of the drawing.
        height: of the drawing.
        left: x of the pipe with the expansion valve.
        right: x of the pipe with the compressor.
        top: y of the condenser.
        middle: y of compressor and valve.
        bottom: y of the evaporator.
        exchanger: (half width, half height) of condenser and evaporator.
        radius: of the compressor.
        bath: lower edge of the brine.
        tags: where the middle of each measure stands, by key of its place.
        names: where the parts are named: text, x, y.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    middle: int
    bottom: int
    exchanger: tuple[int, int]
    radius: int
    bath: int
    tags: Mapping[str, tuple[int, int]]
    names: tuple[tuple[str, int, int], ...]

    def position(self, key: str) -> tuple[float, float]:
        """Where a measure stands: per cent of width and height."""
        x, y = self.tags[key]
        return 100 * x / self.width, 100 * y / self.height


WIDE = Layout(
    name="wide",
    width=1000,
    height=580,
    left=230,
    right=770,
    top=84,
    middle=272,
    bottom=430,
    exchanger=(150, 44),
    radius=46,
    bath=560,
    tags=MappingProxyType(
        {
            "discharge": (888, 84),
            "hot_gas": (888, 158),
            "voltage": (628, 234),
            "current": (628, 310),
            "suction": (888, 356),
            "evaporated": (888, 430),
            "condensate": (112, 84),
            "flow": (112, 158),
            "expanded": (112, 392),
            "brine": (500, 517),
        }
    ),
    names=(("Condenser", 500, 28), ("Compressor", 872, 277), ("Expansion valve", 322, 277), ("Evaporator", 500, 374)),
)
NARROW = Layout(
    name="narrow",
    width=360,
    height=670,
    left=28,
    right=332,
    top=54,
    middle=330,
    bottom=548,
    exchanger=(104, 30),
    radius=24,
    bath=660,
    tags=MappingProxyType(
        {
            "discharge": (248, 132),
            "hot_gas": (248, 196),
            "voltage": (248, 278),
            "current": (248, 342),
            "suction": (248, 414),
            "evaporated": (248, 478),
            "condensate": (112, 132),
            "flow": (112, 196),
            "expanded": (112, 414),
            "brine": (180, 620),
        }
    ),
    names=(("Condenser", 180, 18), ("Compressor", 248, 243), ("Expansion valve", 98, 334), ("Evaporator", 100, 511)),
)


def drawing(layout: Layout) -> str:
    """The circuit as an SVG element with its description."""
    parts = [
        _pipes(layout),
        _exchanger(layout, layout.top, "condenser"),
        _bath(layout),
        _exchanger(layout, layout.bottom, "evaporator"),
        _compressor(layout),
        _valve(layout),
        *(
            f'<text class="plant-name" x="{x}" y="{y}" text-anchor="middle">{name}</text>'
            for name, x, y in layout.names
        ),
    ]
    title = f"plant-title-{layout.name}"
    return (
        f'<svg class="plant-drawing" viewBox="0 0 {layout.width} {layout.height}" role="img" '
        f'aria-labelledby="{title}"><title id="{title}">{escape(DESCRIPTION)}</title>' + "".join(parts) + "</svg>"
    )


def _pipes(layout: Layout) -> str:
    left, right, middle = layout.left, layout.right, layout.middle
    half, _ = layout.exchanger
    inner_left, inner_right = layout.width // 2 - half, layout.width // 2 + half
    hot = [(right, middle), (right, layout.top), (inner_right, layout.top)]
    liquid = [(inner_left, layout.top), (left, layout.top), (left, middle)]
    cold = [(left, middle), (left, layout.bottom), (inner_left, layout.bottom)]
    gas = [(inner_right, layout.bottom), (right, layout.bottom), (right, middle)]
    pipes = {"hot": hot, "liquid": liquid, "cold": cold, "gas": gas}
    return "".join(_pipe(name, points) for name, points in pipes.items())


def _pipe(name: str, points: list[tuple[int, int]]) -> str:
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    (x0, y0), (x1, y1) = max(pairwise(points), key=_length)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    turn = 0 if x1 > x0 else 180 if x1 < x0 else 90 if y1 > y0 else 270
    arrow = (
        f'<path class="plant-arrow plant-{name}" d="M-7 -7 L7 0 L-7 7 Z" '
        f'transform="translate({x} {y}) rotate({turn})"/>'
    )
    return f'<path class="plant-pipe plant-{name}" d="{path}"/>{arrow}'


def _length(part: tuple[tuple[int, int], tuple[int, int]]) -> int:
    (x0, y0), (x1, y1) = part
    return abs(x1 - x0) + abs(y1 - y0)


def _exchanger(layout: Layout, y: int, name: str) -> str:
    half, high = layout.exchanger
    left, turns = layout.width // 2 - half, 6
    step = 2 * half / (2 * turns + 2)
    points: list[tuple[float, float]] = [(left, y), (left + step, y)]
    points += [
        (left + step * (1.5 + index), y + (high * 0.55 if index % 2 else -high * 0.55)) for index in range(2 * turns)
    ]
    points += [(left + step * (2 * turns + 1), y), (left + 2 * half, y)]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<rect class="plant-body" x="{left}" y="{y - high}" width="{2 * half}" height="{2 * high}" rx="8"/>'
        f'<path class="plant-coil plant-coil-{name}" d="{path}"/>'
    )


def _bath(layout: Layout) -> str:
    half, _ = layout.exchanger
    left, wide = layout.width // 2 - half - 14, 2 * half + 28
    # The brine flows around the lower part of the evaporator.
    return (
        f'<rect class="plant-brine" x="{left}" y="{layout.bottom}" width="{wide}" '
        f'height="{layout.bath - layout.bottom}" rx="10"/>'
    )


def _compressor(layout: Layout) -> str:
    x, y, radius = layout.right, layout.middle, layout.radius
    # ISO 10628: a circle whose two lines narrow in the direction of the flow, here upwards.
    return (
        f'<circle class="plant-body" cx="{x}" cy="{y}" r="{radius}"/>'
        f'<path class="plant-symbol" d="M{x - radius * 0.94:.1f} {y + radius * 0.34:.1f} L{x - radius * 0.5:.1f} '
        f"{y - radius * 0.87:.1f} M{x + radius * 0.94:.1f} {y + radius * 0.34:.1f} L{x + radius * 0.5:.1f} "
        f'{y - radius * 0.87:.1f}"/>'
    )


def _valve(layout: Layout) -> str:
    x, y, size = layout.left, layout.middle, layout.radius * 0.6
    return (
        f'<path class="plant-body" d="M{x - size:.1f} {y - size:.1f} L{x + size:.1f} {y - size:.1f} '
        f'L{x - size:.1f} {y + size:.1f} L{x + size:.1f} {y + size:.1f} Z"/>'
    )
