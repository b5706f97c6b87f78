"""Work in several threads: nothing of it shows in what comes out."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.side_by_side import ahead, in_blocks


@given(count=st.integers(0, 50), size=st.integers(1, 20))
def test_blocks_come_in_their_order(count: int, size: int) -> None:
    rows = list(range(count))
    blocks = in_blocks(lambda block: rows[block], count, size)
    assert [row for block in blocks for row in block] == rows
    assert all(len(block) <= size for block in blocks)


def test_an_error_in_one_block_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        in_blocks(lambda block: 1 // (block.start - 5), 20, 5)


def test_items_come_in_their_order() -> None:
    assert list(ahead(range(1000))) == list(range(1000))


def test_only_the_next_item_is_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for number in ahead(items()):
        assert len(made) <= number + 2


def test_an_error_of_the_source_is_told_after_what_came_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no such file")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="no such file"):
        next(coming)
