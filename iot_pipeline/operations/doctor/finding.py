"""One line of the doctor's report, and how a number becomes a verdict."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw."""

    check: str
    verdict: Verdict
    seen: str
    do: str = ""
    """What to do about it; empty when all is well."""


def grade(value: int, *, fail: int, warn: int) -> Verdict:
    """Below `fail` is a failure, below `warn` a warning."""
    return Verdict.fail if value < fail else Verdict.warn if value < warn else Verdict.ok
