"""The thread that keeps the live state: it reads the past, follows landing, and does what is due now and then.

What is asked of the state is `layer.py`; how a file is read and a mart taken over, `tail.py` and `truth.py`.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog
from polars.exceptions import PanicException

from iot_pipeline.clock import floor_minute, utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.live.flags import LiveFlags
from iot_pipeline.live.model import LiveState
from iot_pipeline.live.pace import Paced
from iot_pipeline.live.state import State
from iot_pipeline.live.tail import Group, Tail
from iot_pipeline.live.truth import Steps, Truth, first_landing_minute, number_of
from iot_pipeline.readings.frames import no_cycles
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
STEPS_SECONDS = 0.2
"""Longest time between two looks at landing that the past and corrections take."""
STALE_SECONDS = 10.0
RETRY_SECONDS = 1.0
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter from another one, while the layer runs: see `docs/decisions.md`."""


class Following:
    """Keeps a state and its flags up to date, a few seconds behind landing.

    Attributes:
        chores: what is done now and then, by name.
        started_at: when the thread was started; None before.
        newest_landed_at: when the newest file that was taken in landed; None before the first.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        flags: LiveFlags,
        *,
        chores: Mapping[str, Paced],
        now: Callable[[], datetime],
    ) -> None:
        """Prepare; nothing is read before `start`.

        Args:
            settings: where landing and marts are, and how they are decoded.
            state: what is kept.
            flags: the flags of its readings.
            chores: what others want done by the thread.
            now: the clock that says how far back the day reaches.
        """
        self._settings = settings
        self._state = state
        self._flags = flags
        self._now = now
        self._tail: Tail | None = None
        self._truth: Truth | None = None
        self._steps: Steps | None = None
        self._rebuilt = False
        self._ready = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._errors: dict[str, str] = {}
        self.started_at: datetime | None = None
        self.newest_landed_at: datetime | None = None
        self._waits_since: datetime | None = None
        self._lag = 0.0
        self._caught_up_at: datetime | None = None
        self._looked = time.monotonic()
        self.chores = {
            "mappings": Paced(self._reload_mappings, seconds=2.0, share=0.1),
            "flags": Paced(self._score, seconds=2.0, share=0.1),
            **chores,
            "corrections": Paced(self._look_for_corrections, seconds=2.0, share=0.5),
        }

    def start(self) -> None:
        """Begin to rebuild and to follow, in a thread of its own; returns at once."""
        if self._thread is None:
            self.started_at = utc_now()
            self._stopping.clear()
            # Threads that answer wait for the interpreter for at most this long each time they need it.
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def progress(self) -> float:
        """Share of the rebuilding that is done, 0 to 1."""
        if self._rebuilt:
            return 1.0
        return 0.0 if self._truth is None else min(self._truth.progress, 0.99)

    @property
    def files_skipped(self) -> int:
        """Landed files that could not be read."""
        return 0 if self._tail is None else self._tail.skipped

    @property
    def error(self) -> str | None:
        """What went wrong last and is not over; None when nothing is."""
        return "; ".join(list(self._errors.values())) or None

    @property
    def condition(self) -> LiveState:
        """Whether the state can be believed."""
        if self._thread is None or not self._thread.is_alive() or "following" in self._errors:
            return LiveState.STALE
        if not self._rebuilt or self._caught_up_at is None:
            return LiveState.REBUILDING
        return LiveState.STALE if self.visible_lag > STALE_SECONDS else LiveState.LIVE

    @property
    def visible_lag(self) -> float:
        """Seconds from landed to visible: of the newest file, or as long as the oldest waiting one does."""
        waits, lag = self._waits_since, self._lag
        if waits is not None:
            lag = max(lag, (utc_now() - waits).total_seconds())
        return max(lag, time.monotonic() - self._looked if self._thread is not None else 0.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.turn()
                self._errors.pop("following", None)
            except (Exception, PanicException) as error:  # noqa: BLE001  # whatever it is, the layer goes on and says so
                self._failed("following", error)
                self._stopping.wait(RETRY_SECONDS)
                continue
            if not busy:
                self._stopping.wait(POLL_SECONDS)

    def turn(self) -> bool:
        """Look once at everything; whether there is more to do at once."""
        if not self._ready:
            self._begin()
        self._follow()
        busy = self._step()
        self._state.periods.advance(number_of(floor_minute(self._now())), self._state.series.end)
        self._state.fleets.mark(time.monotonic())
        self._chore()
        self._looked = time.monotonic()
        return busy

    def _chore(self) -> None:
        """Do the one chore that has been due for longest: what lands is not kept waiting for all of them."""
        name, chore = max(self.chores.items(), key=lambda item: item[1].overdue)
        if chore.overdue < 0:
            return
        try:
            chore.turn()
            self._errors.pop(name, None)
        except (Exception, PanicException) as error:  # noqa: BLE001  # one chore must not keep the others from being done
            self._failed(name, error)

    def _begin(self) -> None:
        """Find out how far the batch layer came; the past is read from there in steps."""
        now = self._now()
        self._state.periods.advance(number_of(floor_minute(now)), self._state.series.end)
        truth = Truth(self._settings.paths, self._state, heard=self._flags.hear_minute)
        self._tail = Tail(self._settings, first_landing_minute(truth, now))
        self._truth, self._steps, self._ready = truth, truth.rebuild(), True
        self._flags.read_published(now)

    def _follow(self) -> None:
        """Take in what landed, a group of files at a time."""
        tail, truth = self._tail, self._truth
        if tail is None or truth is None or not truth.minutes_read:
            return
        tail.look()
        while (group := tail.next_group(truth.landed_through)) is not None and not self._stopping.is_set():
            self._waits_since = group.landed_at
            try:
                # What was decoded is gone when the garbage collector comes back; else it would stop everybody to look.
                with no_cycles():
                    self._take(tail, truth, group)
            except (Exception, PanicException):
                tail.failed(group)
                raise
            tail.done(group)
            if self._caught_up_at is not None and group.landed_at >= self._caught_up_at:
                # What landed before the layer could see it says nothing of how fast it is.
                self._lag = (utc_now() - group.landed_at).total_seconds()
            self.newest_landed_at = max(line.landed_at for line in group.lines)
            self._looked = time.monotonic()
        self._waits_since = None
        self._caught_up_at = self._caught_up_at or utc_now()

    def _take(self, tail: Tail, truth: Truth, group: Group) -> None:
        known = truth.landed_through is not None and group.lines[-1].minute <= truth.landed_through
        for arrived in tail.decode(group):
            taken = self._state.take(arrived, published=truth.through if known else None)
            self._flags.hear(arrived, taken)

    def _step(self) -> bool:
        """Go on with the past or with corrections for a moment; whether there is more."""
        until = time.monotonic() + STEPS_SECONDS
        while self._steps is not None and time.monotonic() < until and not self._stopping.is_set():
            try:
                next(self._steps)
            except StopIteration:
                if not self._rebuilt:
                    log.info("live_rebuilt", series=len(self._state.series), readings=self._state.readings)
                self._steps, self._rebuilt = None, True
            except (Exception, PanicException):
                # What is left undone is done with the next publication.
                self._steps, self._rebuilt = None, True
                if self._truth is not None:
                    self._truth.minutes_read = True
                raise
        return self._steps is not None

    def _look_for_corrections(self) -> None:
        if self._steps is None and self._truth is not None:
            self._steps = self._truth.corrections()

    def _reload_mappings(self) -> None:
        if self._tail is not None and (mappings := self._tail.reload()) is not None:
            log.info("live_mappings_reloaded", mappings=len(mappings.mappings))

    def _score(self) -> None:
        now = self._now()
        self._flags.read_published(now)
        self._flags.score(now, len(self._state.series))

    def _failed(self, what: str, error: Exception) -> None:
        told = str(error) if isinstance(error, IotError) else f"{type(error).__name__}: {error}"
        if self._errors.get(what) != told:
            # Without the values of variables: these are what devices sent.
            frames = traceback.extract_tb(error.__traceback__)
            where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
            log.error("live_failed", what=what, error=told, where=where)
        self._errors[what] = told
