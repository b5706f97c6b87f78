"""What another set of mappings would make of messages that landed: rows added, removed and changed, and quarantine.

Both sets decode the same landing minutes with the births that were in force; nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from iot_pipeline.landing.layout import read_minute
from iot_pipeline.readings.build import birth_book
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.frames import Decoded, decode_frame, quarantine_frame
from iot_pipeline.readings.language.formats import PayloadFormat
from iot_pipeline.readings.language.mapping import LoadedMapping, MappingSet
from iot_pipeline.readings.schema import IDENTITY, QUARANTINE_SCHEMA, READING_SCHEMA
from iot_pipeline.settings import Settings

EXAMPLES = 5  # of each kind
_COMPARED = ("value", "text", "quality")
_BEFORE = "_before"
READING_KINDS = ("added", "removed", "changed")
QUARANTINE_KINDS = ("newly_quarantined", "no_longer_quarantined")
_READINGS: dict[str, pl.DataType] = {name: READING_SCHEMA[name] for name in (*IDENTITY, *_COMPARED)}
_PROBLEMS: dict[str, pl.DataType] = {
    name: QUARANTINE_SCHEMA[name] for name in ("topic", "message_id", "field", "reason", "detail")
}


@dataclass(slots=True)
class Changes:
    """What differs over all minutes that were compared.

    `readings` has topic, device_id, metric and a count for each of READING_KINDS; `quarantine` topic,
    reason and a count for each of QUARANTINE_KINDS; `examples` are up to EXAMPLES rows of each kind.
    """

    minutes: int = 0
    messages: int = 0
    readings: pl.DataFrame = field(default_factory=lambda: _no_counts(("topic", "device_id", "metric"), READING_KINDS))
    quarantine: pl.DataFrame = field(default_factory=lambda: _no_counts(("topic", "reason"), QUARANTINE_KINDS))
    examples: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each kind."""
        return {
            **{kind: int(self.readings[kind].sum()) for kind in READING_KINDS},
            **{kind: int(self.quarantine[kind].sum()) for kind in QUARANTINE_KINDS},
        }


class MappingChanges:
    """Compares the present set of mappings with another one, minute by minute in order of time."""

    def __init__(self, settings: Settings, present: MappingSet, other: MappingSet, first: datetime) -> None:
        """`first`: the first landing minute that will be compared; no minute after it may be left out."""
        self._paths = settings.paths
        self._sets = (present, other)
        limits = limits_of(settings)
        self._before = MessageDecoder(present, limits, birth_book(self._paths, first))
        self._after = MessageDecoder(other, limits, birth_book(self._paths, first))
        self.found = Changes()

    def compare(self, minute: datetime) -> None:
        """Add what differs in one landing minute. Raises DataError when it cannot be read."""
        landed = read_minute(self._paths, minute)
        affected = landed.filter(landed["topic"].is_in(self._affected(landed["topic"].unique().to_list())))
        self.found.minutes += 1
        self.found.messages += landed.height
        if affected.is_empty():
            return
        before, after = decode_frame(affected, self._before), decode_frame(affected, self._after)
        self._readings(_with_topic(before), _with_topic(after))
        self._quarantine(quarantine_frame(before, self._before), quarantine_frame(after, self._after))

    def _affected(self, topics: Sequence[str]) -> list[str]:
        """Topics whose mapping is not the same in both sets, with all that share births with them."""
        told = {topic: tuple(_of(mappings.find(topic)) for mappings in self._sets) for topic in topics}
        changed = [topic for topic, (before, after) in told.items() if _version(before) != _version(after)]
        if not any(_is_sparkplug(mapping) for topic in changed for mapping in told[topic]):
            return changed
        return [topic for topic in topics if topic in changed or any(_is_sparkplug(one) for one in told[topic])]

    def _readings(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        joined = before.join(after, on=IDENTITY, how="full", nulls_equal=True, coalesce=True, suffix="_after")
        differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in _COMPARED)
        there, then = pl.col("topic").is_not_null(), pl.col("topic_after").is_not_null()
        kinds = {"added": ~there & then, "removed": there & ~then, "changed": there & then & differs}
        marked = joined.with_columns(**kinds).filter(pl.any_horizontal(READING_KINDS))
        rows = marked.select(
            pl.coalesce("topic", "topic_after").alias("topic"),
            *IDENTITY,
            *(pl.col(name).alias(f"{name}{_BEFORE}") for name in _COMPARED),
            *(pl.col(f"{name}_after").alias(name) for name in _COMPARED),
            *READING_KINDS,
        )
        self.found.readings = _added_up(self.found.readings, rows, ("topic", "device_id", "metric"), READING_KINDS)
        self._keep_examples(rows, READING_KINDS)

    def _quarantine(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        old, new = (frame.select(list(_PROBLEMS)) for frame in (before, after))
        same = ["message_id", "field"]
        newly = new.join(old, on=same, how="anti", nulls_equal=True)
        released = old.join(new, on=same, how="anti", nulls_equal=True)
        no, yes = pl.lit(value=False), pl.lit(value=True)
        rows = pl.concat(
            [
                newly.with_columns(newly_quarantined=yes, no_longer_quarantined=no),
                released.with_columns(newly_quarantined=no, no_longer_quarantined=yes),
            ]
        )
        self.found.quarantine = _added_up(self.found.quarantine, rows, ("topic", "reason"), QUARANTINE_KINDS)
        self._keep_examples(rows, QUARANTINE_KINDS)

    def _keep_examples(self, rows: pl.DataFrame, kinds: Sequence[str]) -> None:
        for kind in kinds:
            kept = self.found.examples.setdefault(kind, [])
            kept += rows.filter(pl.col(kind)).drop(*kinds).head(EXAMPLES - len(kept)).to_dicts()


def _of(found: tuple[LoadedMapping, dict[str, str]] | None) -> LoadedMapping | None:
    return None if found is None else found[0]


def _version(mapping: LoadedMapping | None) -> tuple[str, str] | None:
    return None if mapping is None else (mapping.name, mapping.version)


def _is_sparkplug(mapping: LoadedMapping | None) -> bool:
    return mapping is not None and mapping.mapping.format is PayloadFormat.SPARKPLUG_B


def _with_topic(decoded: Decoded) -> pl.DataFrame:
    topics = decoded.messages["topic"][decoded.readings["message"]].alias("topic")
    return decoded.readings.select(list(_READINGS)).with_columns(topics)


def _no_counts(keys: Sequence[str], kinds: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={**dict.fromkeys(keys, pl.String()), **dict.fromkeys(kinds, pl.Int64())})


def _added_up(counts: pl.DataFrame, rows: pl.DataFrame, keys: Sequence[str], kinds: Sequence[str]) -> pl.DataFrame:
    told = rows.select(*keys, *(pl.col(kind).cast(pl.Int64) for kind in kinds))
    return pl.concat([counts, told]).group_by(keys).agg(pl.col(kinds).sum()).sort(keys)
