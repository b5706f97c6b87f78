"""Sequence numbers of Sparkplug B, 0..255: they go round, so before and after are a matter of distance.

Arithmetic only; what a gap means for a node is `sparkplug_session.py`'s.
"""

from collections.abc import Iterable

SEQUENCE_NUMBERS = 256


def after(seq: int) -> int:
    """The number of the message that follows."""
    return (seq + 1) % SEQUENCE_NUMBERS


def distance(first: int, seq: int) -> int:
    """How many numbers `seq` is ahead of `first`, 0..255."""
    return (seq - first) % SEQUENCE_NUMBERS


def numbers_between(first: int, end: int) -> Iterable[int]:
    """Numbers from `first` up to, and without, `end`."""
    return (seq % SEQUENCE_NUMBERS for seq in range(first, first + distance(first, end)))


def resume(expected: int, newest: int, present: set[int]) -> int:
    """The number to expect once the messages `present` are passed on; `newest` is the one received last.

    Numbers go round: one that is far ahead is rather a repetition from behind, which changes nothing,
    unless the numbers go on from there: then half the round was lost, or more.
    """
    ahead = max(
        (seq for seq in present if distance(expected, seq) < SEQUENCE_NUMBERS // 2),
        key=lambda seq: distance(expected, seq),
        default=None,
    )
    if ahead is not None:
        return after(ahead)
    if newest not in present:
        return expected
    while newest in present:
        newest = after(newest)
    return newest
