"""Times of receipt that never go back, whatever is done to the machine's clock.

A landing minute closes when its collector says that it has passed. So no message may get a time before an
instant that was told already: a clock that is set back stands still here until it has caught up.
What happens over a restart is seen by the ledger: files behind the front are taken again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import structs

from iot_pipeline.clock import utc_now
from iot_pipeline.sources.source import Received

# Smaller corrections are what clocks need all the time.
NOTABLE = timedelta(seconds=1)


class SteadyClock:
    """The present instant for one collector; one thread uses it."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        """`now` is the machine's clock."""
        self._machine = now
        self._latest = now()
        self._behind = timedelta(0)

    def now(self) -> datetime:
        """The present instant in UTC, never before one that this object gave or took."""
        machine = self._machine()
        self._latest = max(self._latest, machine)
        self._behind = self._latest - machine
        return self._latest

    def in_order(self, arrived: Sequence[Received]) -> list[Received]:
        """The same messages, none received before the one before it or before an instant already given."""
        if self._are_in_order(arrived):
            return list(arrived)
        ordered: list[Received] = []
        for one in arrived:
            if one.message.received_at < self._latest:
                ordered.append(one._replace(message=structs.replace(one.message, received_at=self._latest)))
            else:
                self._latest = one.message.received_at
                ordered.append(one)
        return ordered

    def _are_in_order(self, arrived: Sequence[Received]) -> bool:
        """Whether nothing has to be changed, as nearly always; if so, the clock is where they are."""
        latest = self._latest
        for message, _ in arrived:
            if message.received_at < latest:
                return False
            latest = message.received_at
        self._latest = latest
        return True

    @property
    def problem(self) -> str | None:
        """What is wrong with the machine's clock, as of the last `now`; None when nothing is."""
        if self._behind < NOTABLE:
            return None
        return (
            f"the machine's clock was set back; until it has passed {self._latest:%Y-%m-%d %H:%M:%S} UTC again, "
            "messages count as received then and no minute closes. Nothing is lost; a restart takes the new time"
        )
