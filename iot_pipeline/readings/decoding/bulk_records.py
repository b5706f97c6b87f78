"""Payloads decoded by a plan, field by field as columns; what the columns mean is in `bulk_columns.py`.

A message that is not built as the plan expects is left out and said to be so; nothing is judged here.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import Any

import polars as pl

from iot_pipeline.readings.decoding.bulk import Group
from iot_pipeline.readings.language.fields import Json

# Payload bytes that are decoded and taken apart together. Their objects, some ten times as large, should
# still be in the processor's cache when they are read: with everything at once it took half as long again.
BATCH_BYTES = 200_000


class Records:
    """The records of a group's messages, one after the other.

    Attributes:
        read: positions in the group of the messages that were decoded.
        slots: of each record the position of its message.
        described: by attribute of the decoded records what describes their devices, if the plan has such.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        plan = group.plan
        texts = [plan.device, *(text for value in plan.values for text in (value.metric, value.unit))]
        self._kinds: dict[str, pl.DataType | None] = {text.told: pl.String() for text in texts if text.told is not None}
        self._kinds |= {value.told: pl.Float64() for value in plan.values}
        if plan.time is not None:
            self._kinds[plan.time[0]] = None
        self._parts: dict[str, list[pl.Series]] = {attribute: [] for attribute in self._kinds}
        describing = [plan.device, *plan.attributes] if plan.attributes else []
        self.described: dict[str, list[Any]] = {text.told: [] for text in describing if text.told is not None}
        self.read: list[int] = []
        counts: list[int] = []
        for start, end in _batches(group.payloads):
            messages = self._decode(start, end)
            arrays = _arrays(messages, plan.records)
            counts += repeat(1, len(messages)) if arrays is None else map(len, arrays)
            self._take_apart(messages if arrays is None else list(chain.from_iterable(arrays)))
        self.slots = pl.Series(self.read, dtype=pl.UInt32)
        if any(count != 1 for count in counts):
            held = pl.DataFrame({"slot": self.slots, "count": pl.Series(counts, dtype=pl.UInt32)})
            repeated = held.filter(pl.col("count") > 0).select(pl.col("slot").repeat_by("count").explode())
            self.slots = repeated.to_series()

    def told(self, attribute: str) -> pl.Series:
        """What the records hold at an attribute. Of type Null where they do not agree in the type of a time."""
        parts = self._parts[attribute]
        kinds = {part.dtype for part in parts}
        if len(kinds) > 1:
            return pl.Series([None]).new_from_index(0, len(self.slots))
        return pl.concat(parts, rechunk=True) if parts else pl.Series(dtype=self._kinds[attribute])

    def _decode(self, start: int, end: int) -> list[Any]:
        group, read = self.group, self.read
        decode, messages = group.plan.decode, []
        for slot, payload in enumerate(group.payloads[start:end], start):
            try:
                messages.append(decode(payload))
            except (ValueError, RecursionError) as error:
                if not group.plan.learn(payload, error):
                    continue
                decode = group.plan.decode
                try:
                    messages.append(decode(payload))
                except (ValueError, RecursionError):
                    continue
            read.append(slot)
        return messages

    def _take_apart(self, records: list[Any]) -> None:
        if not records:
            return
        for attribute, kind in self._kinds.items():
            told = list(map(attrgetter(attribute), records))
            self._parts[attribute].append(pl.Series(told, dtype=kind) if kind is not None else _times(told))
            if attribute in self.described:
                self.described[attribute] += told
        for attribute, kept in self.described.items():
            if attribute not in self._kinds:
                kept.extend(map(attrgetter(attribute), records))


def _batches(payloads: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    size, ends = 0, [0]
    for number, payload in enumerate(payloads):
        size += len(payload)
        if size >= BATCH_BYTES:
            ends.append(number + 1)
            size = 0
    if ends[-1] < len(payloads):
        ends.append(len(payloads))
    return pairwise(ends)


def _arrays(messages: list[Any], records: str | None) -> list[list[Json]] | None:
    """The arrays of records of messages; None when each message is one record."""
    if records is not None:
        return list(map(attrgetter(records), messages))
    if not any(type(message) is list for message in messages):
        return None
    return [message if type(message) is list else [message] for message in messages]


def _times(told: list[int | str]) -> pl.Series:
    """Numbers or texts; of type Null when there are both."""
    kinds = set(map(type, told))
    kind = {frozenset({int}): pl.Int64(), frozenset({str}): pl.String()}.get(frozenset(kinds))
    return pl.Series([None] * len(told)) if kind is None else pl.Series(told, dtype=kind)
