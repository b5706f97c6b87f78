"""Sets of mappings to try: files given on the command line, and the present set with one file more.

What the product itself uses is `readings/language/mapping.py: load_mappings`.
"""

from collections.abc import Iterable
from pathlib import Path

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.language.mapping import (
    BUILT_IN,
    SUFFIXES,
    LoadedMapping,
    MappingSet,
    load_mapping,
    load_mappings,
    mapping_set,
)


def is_built_in(loaded: LoadedMapping) -> bool:
    """Whether a mapping came with the product."""
    return Path(loaded.origin).parent == BUILT_IN


def mapping_files(given: Iterable[Path]) -> list[Path]:
    """The files that are meant: a folder stands for its mapping files, in order of name.

    Raises:
        MappingError: there is no such file, or a folder holds none.
    """
    found: list[Path] = []
    for path in given:
        inside = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise MappingError(f"{path}: holds no mapping; they end in {' or '.join(SUFFIXES)}")
        found += inside
    return found


def given_mappings(given: Iterable[Path], *, built_in: bool) -> MappingSet:
    """Mappings in the order in which they are given; with `built_in` the product's own are asked after them.

    Raises:
        MappingError: names the file, the key and the valid values.
    """
    own = [load_mapping(path) for path in mapping_files(given)]
    names = {mapping.name for mapping in own}
    others = [mapping for mapping in load_mappings(None) if mapping.name not in names] if built_in else []
    return mapping_set([*own, *others])


def with_file(present: MappingSet, new: LoadedMapping) -> MappingSet:
    """The set as it is once the file of `new` lies in the user's folder.

    It replaces the mapping of the same name, or that of the same file name, wherever it came from;
    like all of a user's own it is asked before the built-in ones, in order of file name.
    """
    file = Path(new.origin).name
    own = [
        mapping
        for mapping in present
        if not is_built_in(mapping) and mapping.name != new.name and Path(mapping.origin).name != file
    ]
    ordered = sorted([*own, new], key=lambda mapping: Path(mapping.origin).name)
    return mapping_set([*ordered, *(loaded for loaded in present if is_built_in(loaded) and loaded.name != new.name)])
