"""Living with what is broken: growing delays between attempts, and logs that do not flood.

What is retried is the business of the caller.
"""

import contextlib
import time
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Backoff:
    """Delays in seconds that double from `first` to `longest`."""

    first: float = 1.0
    longest: float = 30.0
    _next: float = field(default=0.0, init=False)

    def delay(self) -> float:
        """The delay before the next attempt; each call doubles the following one."""
        delay = self._next or self.first
        self._next = min(delay * 2, self.longest)
        return delay

    def reset(self) -> None:
        """Begin again at `first`."""
        self._next = 0.0


class Trouble:
    """One kind of trouble: logged at once, when its reason changes, and then at most once in `every` seconds.

    `reason` says what is wrong now and is None when nothing is; any thread may read it.
    """

    def __init__(self, event: str, *, every: float = 60.0) -> None:
        """`event` names the trouble in the log; its end is logged as `<event>_over`."""
        self.reason: str | None = None
        self._event = event
        self._event_over = f"{event}_over"
        self._every = every
        self._began = 0.0
        self._logged = 0.0
        self._attempts = 0

    def report(self, reason: str, **facts: object) -> None:
        """Something failed, again or for the first time. `facts` must be fit to be shown."""
        now = time.monotonic()
        if self.reason is None:
            self._began = now
            self._attempts = 0
        self._attempts += 1
        if reason != self.reason or now - self._logged >= self._every:
            self._logged = now
            # The log may be on the very disk that is full; that must not end what is being retried.
            with contextlib.suppress(OSError):
                log.warning(self._event, reason=reason, attempts=self._attempts, **facts)
        self.reason = reason

    def over(self, **facts: object) -> None:
        """It works (again). Nothing is logged when nothing was wrong."""
        if self.reason is not None:
            seconds = round(time.monotonic() - self._began, 1)
            log.info(self._event_over, seconds=seconds, attempts=self._attempts, **facts)
            self.reason = None
