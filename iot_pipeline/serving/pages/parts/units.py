"""How units are written for people; what they are called in data stays as it is there."""


def written(unit: str | None) -> str:
    """The unit with its raised figures: m3/h is shown as m³/h."""
    return (unit or "").replace("m3", "m³").replace("m2", "m²")
