"""Work in several threads: NumPy and Polars let go of Python's lock while they compute.

Only how work is spread is here. What is computed depends on nothing but its own part, so that nothing shows in results.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import polars as pl

Item = TypeVar("Item")

THREADS = min(pl.thread_pool_size(), 4)
"""As many as Polars has, but few: each takes memory for its block."""


def in_blocks(work: Callable[[slice], Item], count: int, size: int) -> list[Item]:
    """What `work` gives for each `size` of `count` rows, in their order; THREADS of them are at work at once."""
    blocks = [slice(start, start + size) for start in range(0, count, size)]
    if len(blocks) <= 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, blocks))


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """`items`, the next one of which is made while the last one is in use: two at a time are in memory."""
    coming = iter(items)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, coming, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, coming, None)
            yield item
