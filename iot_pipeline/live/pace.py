"""Work that is done now and then, held to a share of the time. No threads here."""

import time
from collections.abc import Callable


class Paced:
    """Calls a function at most every `seconds`, and more seldom when it takes more than `share` of the time."""

    def __init__(self, work: Callable[[], None], *, seconds: float, share: float) -> None:
        self._work = work
        self._seconds = seconds
        self._share = share
        self._due = 0.0

    @property
    def overdue(self) -> float:
        """Seconds since it was due; negative before that."""
        return time.monotonic() - self._due

    def hurry(self) -> None:
        """Make it due now."""
        self._due = 0.0

    def turn(self) -> None:
        """Call it; what it raises goes to the caller, and it is due again later."""
        began = time.monotonic()
        try:
            self._work()
        finally:
            ended = time.monotonic()
            self._due = max(began + self._seconds, ended + (ended - began) * (1 / self._share - 1))
