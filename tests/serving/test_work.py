"""Work beside the event loop: bounded, given up in time, and then ended where that is possible."""

import asyncio
import threading
import time

import duckdb
import pytest

from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.serving.interrupts import interruptible


def endless() -> None:
    with duckdb.connect(":memory:") as connection, interruptible(connection):
        connection.execute("select count(*) from range(1_000_000_000_000) as a(i) where hash(i) = 1").fetchall()


async def idle(workers: Workers) -> None:
    async with asyncio.timeout(10):
        while workers.running:  # noqa: ASYNC110  # it has no event, and needs none
            await asyncio.sleep(0.01)


def test_a_query_that_nobody_waits_for_is_ended_and_its_thread_is_free() -> None:
    async def ask() -> None:
        workers = Workers(threads=1, waiting=1, seconds=0.2)
        with pytest.raises(Problem, match=r"no answer within 0\.2 s") as told:
            await workers.run(endless)
        assert (told.value.status, told.value.retry_after) == (503, 10)
        await idle(workers)
        assert await workers.run(lambda: 7) == 7
        workers.close()

    asyncio.run(ask())


def test_a_query_that_begins_after_it_was_given_up_ends_at_once() -> None:
    ended: list[BaseException] = []

    def late() -> None:
        time.sleep(0.3)
        try:
            endless()
        except duckdb.InterruptException as error:
            ended.append(error)
            raise

    async def ask() -> None:
        workers = Workers(threads=1, seconds=0.05)
        with pytest.raises(Problem):
            await workers.run(late)
        await idle(workers)
        workers.close()

    asyncio.run(ask())
    assert len(ended) == 1


def test_what_waits_for_a_thread_is_dropped_when_it_is_given_up_and_too_much_is_refused() -> None:
    held, begun = threading.Event(), threading.Event()
    ran: list[int] = []

    def hold() -> None:
        begun.set()
        held.wait(10)

    async def ask() -> None:
        workers = Workers(threads=1, waiting=1, seconds=0.2)
        first = asyncio.create_task(workers.run(hold))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.create_task(workers.run(ran.append, 1))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="2 questions are being answered"):
            await workers.run(ran.append, 2)
        for waiting in (first, second):
            with pytest.raises(Problem, match="no answer within"):
                await waiting
        held.set()
        await idle(workers)
        workers.close()

    asyncio.run(ask())
    assert ran == []
