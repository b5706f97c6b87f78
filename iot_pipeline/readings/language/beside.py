"""Places told relative to a leaf: `{path}_ts`, `$.metadata.{leaf}.t`, `{parent}.status`.

`{path}` is the leaf's own place, `{leaf}` that below `leaves.under`, `{parent}` the object around it
and `{name}` its key. Text before or after `{path}` and `{leaf}` belongs to the last key. The steps
are put together, not their text: keys may hold dots and brackets.
"""

import re

from iot_pipeline.readings.language.fields import Path, Where, parse_path

Step = str | int | Where
_PLACE = re.compile(r"\{([^{}]*)\}")
_NAMES = ("path", "leaf", "parent", "name")


def check_beside(text: str) -> str:
    """The text as it is. Raises ValueError, in words for users, when it cannot be read."""
    found = [step for path in parse_path(text).alternatives for step in path.steps if isinstance(step, str)]
    places = [place for step in found for place in _PLACE.findall(step)]
    wrong = [place for place in places if place not in _NAMES]
    if wrong or not places:
        raise ValueError(f"{text!r}: a place beside a leaf names one of {', '.join(f'{{{name}}}' for name in _NAMES)}")
    if any("{parent}" in step and step != "{parent}" for step in found):
        raise ValueError(f"{text!r}: {{parent}} is an object and stands by itself")
    return text


def beside_path(text: str, steps: tuple[Step, ...], under: int) -> Path | None:
    """The path beside the leaf at `steps`, of which the first `under` are those of `leaves.under`.

    None when there can be none: beside the record itself, or a text put to a position of an array.
    """
    if not steps:
        return None
    found = [_filled(path, steps, under) for path in parse_path(text).alternatives]
    paths = tuple(path for path in found if path is not None)
    if len(paths) > 1:
        return Path((), from_root=False, choices=paths)
    return paths[0] if paths else None


def _filled(path: Path, steps: tuple[Step, ...], under: int) -> Path | None:
    filled: list[Step] = []
    for step in path.steps:
        place = _PLACE.search(step) if isinstance(step, str) else None
        if place is None or not isinstance(step, str):
            filled.append(step)
            continue
        whole = {"path": steps, "leaf": steps[under:], "parent": steps[:-1], "name": steps[-1:]}[place[1]]
        before, after = step[: place.start()], step[place.end() :]
        if before or after:
            if not whole or not isinstance(whole[-1], str):
                return None
            whole = (*whole[:-1], f"{before}{whole[-1]}{after}")
        filled += whole
    return Path(tuple(filled), path.from_root, path.up)
