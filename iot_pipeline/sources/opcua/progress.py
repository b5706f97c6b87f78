"""How far the nodes of one server are handed over without a gap, and what has to be read again from history.

Instants here are microseconds since 1970 UTC, as positions on disk are (`positions.py`). Nothing is sent or read.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from asyncua import ua

from iot_pipeline.clock import utc_now
from iot_pipeline.sources.opcua.changes import Item, instant_of
from iot_pipeline.sources.opcua.gaps import Filled, Gaps
from iot_pipeline.sources.opcua.positions import EPOCH, Landed, at_mark, mark_of

# Nothing is asked for more than this before the server was last heard: a node that never changes
# would otherwise be read from the beginning of its history at every restart.
LOOK_BACK = timedelta(hours=1)


class Progress:
    """Marks of all nodes of a server, over all its sessions. They stand still while `gaps` has any."""

    def __init__(self, landed: Landed | None, *, lag: float) -> None:
        """Begin where an earlier process had landed; `lag`: seconds by which the server's history may be behind."""
        self.gaps = Gaps(lag)
        self._marks: dict[str, int] = dict(landed.nodes) if landed else {}
        self._heard = landed.heard if landed else None
        # Marks of live changes that came while there were gaps.
        self._held: dict[str, int] = {}
        self._carried: dict[str, int] = {}

    def begin(self, items: Iterable[Item]) -> None:
        """A session begins: nodes that have a history and were heard before have a gap since then."""
        self.gaps.clear()
        self._held = {}
        earliest = 0 if self._heard is None else mark_of(self._heard - LOOK_BACK)
        for item in items:
            if item.history and item.name in self._marks:
                self.gaps.open(item, max(self._marks[item.name], earliest), time.monotonic())

    def without_history(self, items: Iterable[Item]) -> tuple[int, datetime] | None:
        """How many nodes were heard before and have no history, and when the last of them was; None for none."""
        marks = [self._marks[item.name] for item in items if not item.history and item.name in self._marks]
        return (len(marks), at_mark(max(marks))) if marks else None

    def read_again(self, item: Item) -> None:
        """Changes of a node since its mark may be missing."""
        if item.history and item.name in self._marks:
            self.gaps.open(item, self._marks[item.name], time.monotonic())

    def live(self, values: Iterable[tuple[Item, ua.DataValue]]) -> tuple[dict[str, int], datetime | None]:
        """Move the marks over live changes; what may be remembered of it once they are landed."""
        newest = _newest(values)
        if self.gaps:
            self.gaps.heard(newest, time.monotonic())
            _advance(self._held, newest)
            return {}, None
        _advance(self._marks, newest)
        _advance(newest, self._carried)
        self._carried = {}
        self._heard = utc_now()
        return newest, self._heard

    def told(self, item: Item, values: Iterable[ua.DataValue]) -> None:
        """Values of a node's history are handed over."""
        pairs = [(item, value) for value in values]
        newest = _newest(pairs)
        # The next session asks from here; on disk it is only once the gap is closed.
        _advance(self._marks, newest)
        self.gaps.answered(item, len(pairs), newest.get(item.name, 0))

    def close_gaps(self) -> Filled | None:
        """End the gaps that are filled or cannot be; what became of all of them once there is none any more.

        What was held meanwhile becomes durable with the next change, which lands after them.
        """
        filled = self.gaps.close()
        if filled is not None:
            _advance(self._marks, self._held)
            _advance(self._carried, self._held)
            self._held = {}
        return filled


def _newest(values: Iterable[tuple[Item, ua.DataValue]]) -> dict[str, int]:
    """The newest time of each node. Clocks before 1970 were never set and say nothing."""
    newest: dict[str, int] = {}
    for item, value in values:
        instant = instant_of(value)
        if instant is not None and instant > EPOCH:
            mark = mark_of(instant)
            if mark > newest.get(item.name, 0):
                newest[item.name] = mark
    return newest


def _advance(marks: dict[str, int], newest: Mapping[str, int]) -> None:
    for node, mark in newest.items():
        if mark > marks.get(node, 0):
            marks[node] = mark
