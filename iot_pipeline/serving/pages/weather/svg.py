"""The background of the weather map: graticule, reference places and scale bar. Nothing in it comes from outside."""

from html import escape

from iot_pipeline.serving.pages.weather.map import HEIGHT, WIDTH, Line, MapFrame, Spot


def background(frame: MapFrame, spots: tuple[Spot, ...]) -> str:
    """The map without its stations: an SVG with HTML labels, whose letters do not shrink with the drawing."""
    lines = frame.graticule()
    dots = [spot for spot in spots if frame.xy(spot.latitude, spot.longitude) is not None]
    title = "Graticule of latitude and longitude" + (", with cities of the time zones as dots" if dots else "")
    drawn = "".join(_line(line) for line in lines) + "".join(_dot(frame, spot) for spot in dots)
    labels = "".join(_label(line) for line in lines)
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="map-title">'
        f'<title id="map-title">{escape(title)}</title>{drawn}</svg>{labels}{_scale_bar(frame)}'
    )


def _line(line: Line) -> str:
    if line.x is None:
        return f'<line class="wx-line" x1="0" x2="{WIDTH:g}" y1="{line.y:.1f}" y2="{line.y:.1f}"/>'
    return f'<line class="wx-line" x1="{line.x:.1f}" x2="{line.x:.1f}" y1="0" y2="{HEIGHT:g}"/>'


def _dot(frame: MapFrame, spot: Spot) -> str:
    place = frame.xy(spot.latitude, spot.longitude)
    if place is None:
        return ""
    x, y = place
    return f'<circle class="wx-place" cx="{x:.1f}" cy="{y:.1f}" r="3.2"><title>{escape(spot.name)}</title></circle>'


def _label(line: Line) -> str:
    told = escape(line.label)
    # Labels at the very edges would be cut or stand on each other.
    if line.x is None and line.y is not None:
        share = 100 * line.y / HEIGHT
        return f'<span class="wx-label wx-label-y" style="top:{share:.2f}%">{told}</span>' if 5 < share < 92 else ""
    share = 100 * (line.x or 0.0) / WIDTH
    return f'<span class="wx-label wx-label-x" style="left:{share:.2f}%">{told}</span>' if 4 < share < 96 else ""


def _scale_bar(frame: MapFrame) -> str:
    length, units = frame.scale_bar()
    shown = f"{length:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if length >= 1 else f"{length:g}"
    hint = f"true along {abs(frame.middle):.0f}° {'N' if frame.middle >= 0 else 'S'}"
    # The bar is a share of its own place, which is 40 % of the map.
    return (
        f'<span class="wx-scale" title="{hint}"><span class="wx-scale-text num">{shown} km</span>'
        f'<span class="wx-scale-bar" style="width:{250 * units / WIDTH:.2f}%"></span></span>'
    )
