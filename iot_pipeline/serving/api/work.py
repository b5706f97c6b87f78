"""Blocking work beside the event loop: a few threads, a short queue, and an end to waiting.

What the work is, is the caller's. Live questions take microseconds and need none of this.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from iot_pipeline.serving.api.problems import unavailable
from iot_pipeline.serving.interrupts import CURRENT, Interrupts

_P = ParamSpec("_P")
_R = TypeVar("_R")

THREADS = 4
WAITING = 28
SECONDS = 15.0


class Workers:
    """Runs functions in threads; refuses what would have to wait behind too many others."""

    def __init__(self, *, threads: int = THREADS, waiting: int = WAITING, seconds: float = SECONDS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="api")
        self._most, self._seconds, self._running = threads + waiting, seconds, 0

    @property
    def running(self) -> int:
        """Functions at work or waiting for a thread; those that nobody waits for any more included."""
        return self._running

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result of `work`.

        Raises:
            Problem: 503 when too many questions are being answered, or this one takes too long. What can be
                interrupted is; other work goes on and counts until it is done, as a thread cannot be ended.
        """
        if self._running >= self._most:
            raise unavailable(
                "overloaded", f"{self._most} questions are being answered already; ask again", retry_after=1
            )
        loop = asyncio.get_running_loop()
        self._running += 1
        interrupts = Interrupts()
        context = contextvars.copy_context()
        context.run(CURRENT.set, interrupts)
        future = self._threads.submit(context.run, partial(work, *args, **kwargs))
        future.add_done_callback(partial(self._done, loop))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError as error:
            interrupts.stop()
            raise unavailable(
                "too-slow",
                f"no answer within {self._seconds:g} s; ask for a shorter range, or again later",
                retry_after=10,
            ) from error

    def close(self) -> None:
        """Take nothing more and let what waits go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, loop: asyncio.AbstractEventLoop, _: "Future[object]") -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._running -= 1
