"""Numbers, units and durations as text, so that columns of them can be compared. No elements here, and no NiceGUI."""

import math

# Nothing lies between the symbol and the number in these.
_ATTACHED = frozenset({"%", "°", "°C", "°F"})
NO_VALUE = "\u2013"
_MINUS, _THIN, _NARROW = "\u2212", "\u2009", "\u202f"


def format_number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant digits, thousands apart, without an exponent where people can do without."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    size = abs(value)
    if size != 0 and (size >= 1e12 or size < 1e-4):
        shown = f"{value:.{max(digits - 1, 0)}e}"
    else:
        whole = len(str(int(size))) if size >= 1 else 0
        shown = f"{value:,.{max(0, digits - whole) if size else 0}f}"
        if "." in shown and size < 1:
            shown = shown.rstrip("0").rstrip(".")
        shown = shown.replace(",", _NARROW)
    return shown.replace("-", _MINUS) if shown not in ("-0", "0") else "0"


def format_value(value: float | None, unit: str | None = None, digits: int = 4) -> str:
    """A number with its unit; a dash where there is none."""
    shown = format_number(value, digits)
    if not unit or shown == NO_VALUE:
        return shown
    return f"{shown}{_THIN if unit in _ATTACHED else ' '}{unit}"


def format_unit(unit: str | None) -> str:
    """The unit with its raised figures: m3/h is shown as m³/h. What it is called in data stays as it is there."""
    return (unit or "").replace("m3", "m³").replace("m2", "m²")


def decimals(value: float | None, count: int) -> str:
    """A number with always as many decimals, so that nothing jumps while it changes and columns can be added up."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{round(value, count) + 0.0:,.{count}f}".replace(",", _NARROW).replace("-", _MINUS)


def format_count(count: int) -> str:
    """A count in full, thousands apart."""
    return f"{count:,}".replace(",", _NARROW)


def format_duration(seconds: float | None) -> str:
    """Two units at most: `0.4 s`, `12 s`, `2 min 5 s`, `4 h 10 min`, `3 d 2 h`."""
    if seconds is None:
        return NO_VALUE
    if seconds < 0.95:
        return f"{max(seconds, 0):.1f} s"
    rest = round(seconds)
    parts: list[tuple[int, str]] = []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count) or "0 s"
