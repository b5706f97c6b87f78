"""Topic templates of the replay: `replay/{dataset}/{origin}` and a row's cells become a topic that MQTT allows."""

import re
import string
from collections.abc import Sequence

from iot_pipeline.errors import ConfigurationError
from sensors_sim.replay_table import Table

# What MQTT forbids or gives a meaning in topic names, and blanks, which some brokers refuse.
_UNFIT = re.compile(r"[\s/+#\x00-\x1f\x7f]+")


def columns_of(template: str, names: Sequence[str], fixed: dict[str, str]) -> list[str]:
    """The columns that a template uses. Raises ConfigurationError for what is neither column nor known name."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"topic: {template!r} cannot be read ({error})") from error
    for literal, *_ in parts:
        if _UNFIT.search(literal.replace("/", "")):
            raise ConfigurationError(f"topic: {template!r} holds a blank, + or #, which cannot be published to")
    fields = [field for _, field, *_ in parts if field is not None]
    for field in fields:
        if field not in names and field not in fixed:
            raise ConfigurationError.unknown_value(f"topic {template!r}: name in braces", field, [*names, *fixed])
    return [field for field in fields if field in names]


def topics_of(table: Table, template: str, used: Sequence[str], fixed: dict[str, str]) -> list[str]:
    """The topic of each row, in the file's order."""
    parts = [(literal, field) for literal, field, *_ in string.Formatter().parse(template)]
    topics = []
    for row in table.frame.select(used).iter_rows(named=True) if used else [{}] * table.frame.height:
        values = {**fixed, **row}
        topics.append("".join(literal + (topic_level(values[field]) if field else "") for literal, field in parts))
    return topics


def topic_level(value: object) -> str:
    """A value as one level of a topic: blanks, `/`, `+`, `#` and control characters become `_`, null `unknown`."""
    if value is None:
        return "unknown"
    return _UNFIT.sub("_", str(value).strip()) or "_"
