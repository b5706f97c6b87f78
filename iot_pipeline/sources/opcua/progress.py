"""How far the nodes of one server are handed over without a gap, and what has to be read again from history.

Instants here are microseconds since 1970 UTC, as positions on disk are (`positions.py`). Nothing is sent or read.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from asyncua import ua

from iot_pipeline.clock import utc_now
from iot_pipeline.sources.opcua.changes import Item, instant_of
from iot_pipeline.sources.opcua.positions import Landed

# Nothing is asked for more than this before the server was last heard: a node that never changes
# would otherwise be read from the beginning of its history at every restart.
LOOK_BACK = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Progress:
    """Marks of all nodes of a server, over all its sessions."""

    def __init__(self, landed: Landed | None) -> None:
        """Begin where an earlier process had landed."""
        self._marks: dict[str, int] = dict(landed.nodes) if landed else {}
        self._heard = landed.heard if landed else None
        # While a gap is being filled, live changes do not move the marks: they wait in `_held`.
        self._holding = False
        self._held: dict[str, int] = {}
        self._carried: dict[str, int] = {}
        self._again: dict[Item, int] = {}

    def gaps(self, items: Iterable[Item]) -> dict[Item, datetime]:
        """From when on to read the history of each node; without those that have none or were never heard."""
        earliest = EPOCH if self._heard is None else self._heard - LOOK_BACK
        return {
            item: max(_instant(self._marks[item.name]), earliest)
            for item in items
            if item.history and item.name in self._marks
        }

    def without_history(self, items: Iterable[Item]) -> tuple[int, datetime] | None:
        """How many nodes were heard before and have no history, and when the last of them was; None for none."""
        marks = [self._marks[item.name] for item in items if not item.history and item.name in self._marks]
        return (len(marks), _instant(max(marks))) if marks else None

    def hold(self, *, on: bool) -> None:
        """At the beginning of a session: whether marks stand still until `filled`."""
        self._holding = on
        self._held, self._again = {}, {}

    def read_again(self, item: Item) -> None:
        """Changes of a node since its mark may be missing: let the marks stand still until they are read."""
        if item.history and item.name in self._marks:
            self._again.setdefault(item, self._marks[item.name])
            self._holding = True

    def asked(self, items: Iterable[Item]) -> None:
        """The history of these nodes is about to be read; what goes wrong from now on is another gap."""
        for item in items:
            self._again.pop(item, None)

    @property
    def to_read_again(self) -> dict[Item, datetime]:
        """Nodes given to `read_again`, and from when on."""
        return {item: _instant(mark) for item, mark in self._again.items()}

    def live(self, values: Iterable[tuple[Item, ua.DataValue]]) -> tuple[dict[str, int], datetime | None]:
        """Move the marks over live changes; what may be remembered of it once they are landed."""
        newest = _newest(values)
        if self._holding:
            _advance(self._held, newest)
            return {}, None
        _advance(self._marks, newest)
        _advance(newest, self._carried)
        self._carried = {}
        self._heard = utc_now()
        return newest, self._heard

    def filled(self) -> None:
        """The gaps are handed over. What was held becomes durable with the next change, which lands after them."""
        if self._again:
            return  # There are new ones, which began at the same marks.
        _advance(self._marks, self._held)
        _advance(self._carried, self._held)
        self.hold(on=False)


def _instant(mark: int) -> datetime:
    return EPOCH + mark * MICROSECOND


def _newest(values: Iterable[tuple[Item, ua.DataValue]]) -> dict[str, int]:
    """The newest time of each node. Clocks before 1970 were never set and say nothing."""
    newest: dict[str, int] = {}
    for item, value in values:
        instant = instant_of(value)
        if instant is not None and instant > EPOCH:
            mark = (instant - EPOCH) // MICROSECOND
            if mark > newest.get(item.name, 0):
                newest[item.name] = mark
    return newest


def _advance(marks: dict[str, int], newest: Mapping[str, int]) -> None:
    for node, mark in newest.items():
        if mark > marks.get(node, 0):
            marks[node] = mark
