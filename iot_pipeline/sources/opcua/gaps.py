"""Gaps in what nodes told: from when on to ask their history, when, and whether it has reached what was heard since.

A server may store values some time after they were measured, so its history can end before a gap does. Nothing is
sent or read here; instants are microseconds since 1970 UTC, times to ask at are seconds of a steady clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from iot_pipeline.sources.opcua.changes import Item
from iot_pipeline.sources.opcua.positions import at_mark

log = structlog.get_logger(__name__)

FIRST_WAIT = 1.0
"""Seconds until history is asked for the rest of a gap; twice as long each time after."""


@dataclass(slots=True)
class _Gap:
    """One node.

    Attributes:
        item: the node.
        since: everything up to this instant is handed over.
        again: when to ask.
        give_up: a question at this time or later is the last one.
        heard: the first that was heard after the gap; None until something was.
        asked: when its history was asked last; None for never.
        wait: seconds from the next question to the one after it.
    """

    item: Item
    since: int
    again: float
    give_up: float
    heard: int | None = None
    asked: float | None = None
    wait: float = FIRST_WAIT

    @property
    def reached(self) -> bool:
        """Whether nothing can be missing between what is handed over and what was heard."""
        return self.asked is not None and self.heard is not None and self.since >= self.heard


@dataclass(slots=True)
class Filled:
    """What became of the gaps since there was none.

    Attributes:
        since: where the oldest of them began.
        nodes: how many nodes had one.
        values: what the history told.
        refused: statuses of nodes whose history was not told, with their number.
        short: of nodes whose history did not reach what was heard: how far it went, and what that was.
    """

    since: int
    nodes: int = 0
    values: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    short: list[tuple[int, int]] = field(default_factory=list)


class Gaps:
    """The gaps of one session; true while there are any."""

    def __init__(self, lag: float) -> None:
        """Expect the history to know a value `lag` seconds after it was heard, at the latest."""
        self._lag = lag
        self._open: dict[str, _Gap] = {}
        self._filled: Filled | None = None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._open)

    def clear(self) -> None:
        """Forget them all."""
        self._open, self._filled = {}, None

    def open(self, item: Item, since: int, now: float) -> None:
        """Something may be missing of this node since that instant: ask at once.

        Of a node that has a gap already, the history was read further than `since`; what is heard next ends it.
        """
        known = self._open.get(item.name)
        self._open[item.name] = _Gap(item, known.since if known else since, now, now + self._lag)
        if self._filled is None:
            self._filled = Filled(since)
        self._filled.since = min(self._filled.since, since)
        self._filled.nodes += known is None

    def heard(self, newest: Mapping[str, int], now: float) -> None:
        """These nodes told something at these instants."""
        for name in newest.keys() & self._open.keys():
            gap = self._open[name]
            if gap.heard is None:
                gap.heard, gap.give_up = newest[name], now + self._lag

    def due(self, now: float) -> dict[Item, int]:
        """Nodes whose history is to be asked now, and from when on."""
        return {gap.item: gap.since for gap in self._open.values() if gap.again <= now and not gap.reached}

    def asked(self, items: Iterable[Item], at: float) -> None:
        """The history of these nodes is about to be read: what goes wrong from now on opens a gap anew."""
        for item in items:
            gap = self._open[item.name]
            gap.asked, gap.again, gap.wait = at, at + gap.wait, gap.wait * 2

    def answered(self, item: Item, values: int, newest: int) -> None:
        """So many values of a node came from its history, the newest of that instant."""
        if self._filled is not None:
            self._filled.values += values
        if (gap := self._open.get(item.name)) is not None:
            gap.since = max(gap.since, newest)

    def refused(self, item: Item, status: str) -> None:
        """The server will not tell the history of this node."""
        if self._open.pop(item.name, None) is not None and self._filled is not None:
            self._filled.refused[status] += 1

    def close(self) -> Filled | None:
        """End the gaps that are filled or cannot be; what became of all of them once there is none any more."""
        for name, gap in list(self._open.items()):
            last = gap.asked is not None and gap.asked >= gap.give_up
            if last and gap.heard is not None and not gap.reached and self._filled is not None:
                self._filled.short.append((gap.since, gap.heard))
            if last or gap.reached:
                del self._open[name]
        if self._open:
            return None
        filled, self._filled = self._filled, None
        return filled


def tell_filled(filled: Filled, *, server: str, lag: float) -> None:
    """Log what became of gaps, and what may be lost in spite of all asking."""
    since, refused = str(at_mark(filled.since)), dict(filled.refused)
    tell = log.warning if refused else log.info
    tell("opcua_gap_filled", server=server, nodes=filled.nodes, values=filled.values, since=since, refused=refused)
    if filled.short:
        log.warning(
            "opcua_gap",
            server=server,
            nodes=len(filled.short),
            since=str(at_mark(min(reached for reached, _ in filled.short))),
            until=str(at_mark(max(heard for _, heard in filled.short))),
            outcome=f"within {lag:g} s the server's history of these nodes did not reach what was heard after the gap: "
            "changes in between may be lost; a larger history_lag_s waits longer",
        )
