"""A file of samples from end to end: decoded, written, compared and counted.

Takes the samples one by one, so that a file may hold more than memory does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from iot_pipeline.clock import utc_now
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.readings.language.times import microseconds
from iot_pipeline.readings.tryout.compare import differences
from iot_pipeline.readings.tryout.samples import (
    Expectation,
    Sample,
    SampleError,
    SampleId,
    read_expectations,
    read_samples,
)
from iot_pipeline.readings.tryout.trial import Trial, Tried, keep, try_all
from iot_pipeline.settings import Settings


@dataclass(slots=True)
class Tally:
    """How many samples ended how, and how many were as expected."""

    outcomes: dict[str, int] = field(default_factory=lambda: {"decoded": 0, "no_reading": 0, "quarantined": 0})
    readings: int = 0
    expected: int | None = None  # expectations; None: nothing was compared
    as_expected: int = 0

    @property
    def differ(self) -> bool:
        """Whether something was not as expected."""
        return self.expected is not None and self.as_expected < self.expected

    def count(self, tried: Tried) -> None:
        """Count one sample."""
        self.outcomes[tried.outcome] += 1
        self.readings += len(tried.readings)

    def summary(self) -> str:
        """One line for people."""
        ended = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in self.outcomes.items())
        text = f"{sum(self.outcomes.values())} messages: {ended}; {self.readings} readings"
        return text if self.expected is None else f"{text}; {self.as_expected} of {self.expected} as expected"


def run_samples(
    mappings: MappingSet,
    settings: Settings,
    *,
    messages: Path,
    expected: Path | None,
    out: BinaryIO,
    differ: Callable[[str], None],
) -> Tally:
    """Decode the samples in `messages`, write a result a line to `out` and tell differences to `differ`.

    Raises:
        SampleError: a line cannot be used; results of the lines before it were written.
    """
    expectations = {} if expected is None else read_expectations(expected)
    kept = _kept(messages, expectations)
    trial = Trial(mappings, settings, microseconds(utc_now()))
    tally = Tally(expected=None if expected is None else len(expectations))
    for sample, tried in try_all(trial, read_samples(messages), expectations, kept):
        out.write(msgspec.json.encode(tried) + b"\n")
        tally.count(tried)
        expectation = expectations.pop(sample.id, None)
        if expectation is not None:
            told = differences(expectation, tried, trial.received_us(sample))
            tally.as_expected += not told
            for line in told:
                differ(f"{sample.id} ({sample.topic}): {line}")
    for missing in expectations:
        differ(f"{missing}: expected, but there is no such message")
    return tally


def _kept(messages: Path, expectations: dict[SampleId, Expectation]) -> dict[SampleId, Sample]:
    wanted = {earlier for expectation in expectations.values() for earlier in expectation.after}
    kept = keep(read_samples(messages), wanted) if wanted else {}
    if absent := wanted - kept.keys():
        raise SampleError(f"{messages}: no message has the id {min(map(str, absent))!r}, which an `after` names")
    return kept
