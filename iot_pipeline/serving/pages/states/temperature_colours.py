"""Colours of temperatures: one scale for all states and all times, so that two pictures can be compared.

From blue over a pale middle to red, in between interpolated in sRGB; on every colour ink or paper can be read.
"""

from collections.abc import Sequence

# °F of each colour; colder and warmer ones have the colours of the ends.
STOPS_F: Sequence[int] = (10, 20, 30, 40, 50, 60, 70, 80, 90)
_COLOURS: Sequence[str] = (
    "#1f3b8f", "#2f63b8", "#4f93d2", "#8fc1e3", "#d9e8e4", "#f7d98a", "#f2a04c", "#d95f35", "#a3242c",
)  # fmt: skip
# Pure black and white: of any colour, one of the two has a contrast of 4.58 at least.
INK, PAPER = "#000000", "#ffffff"


def colour_of(fahrenheit: float) -> str:
    """The colour of a temperature, as `#rrggbb`."""
    step = STOPS_F[1] - STOPS_F[0]
    place = min(max((fahrenheit - STOPS_F[0]) / step, 0.0), len(STOPS_F) - 1.0)
    index = min(int(place), len(STOPS_F) - 2)
    share = place - index
    mixed = [
        round(low + (high - low) * share)
        for low, high in zip(_parts(_COLOURS[index]), _parts(_COLOURS[index + 1]), strict=True)
    ]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def text_on(colour: str) -> str:
    """Ink or paper, whichever is easier to read on a colour."""
    return max((INK, PAPER), key=lambda text: contrast(text, colour))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance of sRGB)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def gradient() -> str:
    """The scale from cold to warm as a CSS image; its stops are equally far apart."""
    return f"linear-gradient(to right, {', '.join(_COLOURS)})"


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    shares = [part / 255 for part in _parts(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
