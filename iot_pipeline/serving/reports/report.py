"""What a report is: its question, its columns, its parameters and the queries that answer it.

Running one is `run.py`; which there are is `catalog.py`. Values from outside reach DuckDB as parameters of a prepared
statement and never become part of its text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

Partition = Literal["day", "month", "year"]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = 366 * DAY


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the result: its name, what it holds, and the unit of its numbers (`""` for none)."""

    name: str
    description: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter with a fixed set of values."""

    name: str
    description: str
    choices: tuple[str, ...]
    default: str


@dataclass(frozen=True, slots=True)
class Text:
    """A parameter that names something.

    Attributes:
        name: of the parameter.
        description: what it names.
        default: None for one that may be left out and then does not restrict anything.
        required: whether it must be given.
        exists: a query with `$value` that counts how often that is known; None when it need not be.
    """

    name: str
    description: str
    default: str | None = None
    required: bool = False
    exists: str | None = None


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`, both included."""

    name: str
    description: str
    low: int
    high: int
    default: int


Parameter = Choice | Text | Integer


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a report.

    Attributes:
        sql: with `$begin` and `$end` (instants, UTC, `$end` not included) and the report's own parameters. Its
            relations hold the days of the range, or more.
        relations: what it reads, by the names of the views.
        usual: how far back it looks when it is not told.
        longest: how long a range may be.
        partition: the rows begin with whole days, months or years when it is not told where to begin.
    """

    sql: str
    relations: tuple[str, ...]
    usual: timedelta
    longest: timedelta
    partition: Partition = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A named question and its answer.

    Attributes:
        name: what `iot report` and the API call it.
        title: a few words.
        question: what it answers, one sentence.
        columns: of the result, in order.
        queries: by value of the parameter `period`; a report with one query has no such parameter.
        parameters: besides `period` and the range (`from`, `to`, `day`).
    """

    name: str
    title: str
    question: str
    columns: tuple[Column, ...]
    queries: Mapping[str, Query]
    parameters: tuple[Parameter, ...] = ()
    takes: Mapping[str, Parameter] = field(init=False, default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Collect the parameters by name."""
        periods = tuple(self.queries)
        own = () if len(periods) == 1 else (Choice("period", "what a row covers", periods, periods[0]),)
        object.__setattr__(self, "takes", MappingProxyType({one.name: one for one in (*own, *self.parameters)}))


FLEET_EXISTS = "select count(*) from dim_device where fleet = $value"
DEVICE_EXISTS = "select count(*) from dim_device where device_id = $value"
CUSTOMER_EXISTS = "select count(*) from dim_device where customer = $value"
DEVICE = Text("device", "one device only", exists=DEVICE_EXISTS)
NO_DATA = "no data found"
