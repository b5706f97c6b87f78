"""Globs over the paths of values, as mappings write them. What they choose is their user's business."""

import fnmatch
import re
from collections.abc import Callable, Iterable


def compile_globs(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path matches any of the globs; `*` crosses dots, case counts."""
    expressions = [fnmatch.translate(glob) for glob in globs]
    if not expressions:
        return lambda _path: False
    matches = re.compile("|".join(expressions)).match
    return lambda path: matches(path) is not None
