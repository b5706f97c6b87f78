"""Refreshing what a page shows: survives errors, says them instead of freezing, ends with the page."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import structlog
from nicegui import ui

from iot_pipeline.errors import IotError
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.pages.parts.markup import Tag, box

log = structlog.get_logger(__name__)

UNEXPECTED = "This part failed on our side; the log of `web` tells more"

Work = Callable[[], Awaitable[None] | None]
# What goes on while the server runs, whether somebody looks or not; set anew when pages are mounted.
always_running: list[tuple[float, Work]] = []


def words_of(error: Exception) -> str:
    """What a viewer is told of an error: what was made for readers, and no details of failures of our own."""
    if isinstance(error, (Problem, IotError)):
        return str(error)
    log.error("page_part_failed", error=repr(error))
    return UNEXPECTED


def every(seconds: float, work: Work, *, at_once: bool = True) -> ui.timer:
    """Call `work` each `seconds` while somebody looks; a failure is shown at this place until it is over.

    Without `at_once` the first call comes after `seconds`: for parts that were filled when the page was built.
    """
    place = box("refresh-problem hidden", role="status")

    async def once() -> None:
        try:
            await _done(work)
        except Exception as error:  # noqa: BLE001 -- a page that stops would look as if all were well
            _tell(place, f"{words_of(error).rstrip('.')}. Trying again every {seconds:g} s.")
        else:
            _tell(place, "")

    return ui.timer(seconds, once, immediate=at_once)


def always(seconds: float, work: Work) -> None:
    """Call `work` each `seconds` from the start of the server to its end; for a page's `register`."""
    always_running.append((seconds, work))


async def run_always() -> None:
    """Everything that was asked for with `always`, until cancelled."""
    await asyncio.gather(*(_forever(seconds, work) for seconds, work in always_running))


async def _forever(seconds: float, work: Work) -> None:
    while True:
        try:
            await _done(work)
        except Exception as error:  # noqa: BLE001 -- it is only for show, and must not end
            words_of(error)
        await asyncio.sleep(seconds)


async def _done(work: Work) -> None:
    done = work()
    if inspect.isawaitable(done):
        await done


def _tell(place: Tag, message: str) -> None:
    if place.text != message:
        place.text = message
        place.classes(add="" if message else "hidden", remove="hidden" if message else "")
