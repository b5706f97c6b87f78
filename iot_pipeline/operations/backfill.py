"""Backfills by hand from the command line: the same request that the web UI makes.

Asking the running web server keeps one way of doing it: the daemon groups, queues and shows the
runs, and what was asked for is listed in the UI's backfills page. Needs no Dagster import.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import requests

from iot_pipeline.clock import (
    DAY,
    day_key,
    day_start,
    floor_minute,
    minute_key,
    minutes_between,
    parse_day,
    parse_minute,
    utc_now,
)
from iot_pipeline.errors import ConfigurationError, TransientError
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import DAY_MODELS

MINUTE_ASSETS = (
    "readings",
    "quarantine",
    "devices",
    "device_minute",
    "dim_device",
    "state_minute",
    "anomaly_flags",
    "anomaly_events",
)
DAY_ASSETS = ("readings_day", *(model.name for model in DAY_MODELS), "anomaly_model", "anomaly_day_flags")
SPAN = re.compile(r"^(?P<first>[0-9T:-]+)(?:\.\.(?P<last>[0-9T:-]+))?$")
ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
GOOD = {"COMPLETED", "COMPLETED_SUCCESS"}

LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}"""
PROGRESS = """
query Progress($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status numPartitions }
    ... on PythonError { message }
  }
}"""


Answer = dict[str, str]


@dataclass(frozen=True, slots=True)
class Dagster:
    """A running Dagster web server, by its address."""

    address: str

    def ask(self, query: str, variables: dict[str, object]) -> dict[str, Answer]:
        """Send a GraphQL request. Raises TransientError when nobody answers."""
        try:
            response = requests.post(
                f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=60
            )
            response.raise_for_status()
        except requests.RequestException as error:
            raise TransientError(
                f"no answer from Dagster at {self.address} ({type(error).__name__}); nothing was asked for. "
                "Start it with `iot up`, or name its port with IOT_DAGSTER_PORT."
            ) from error
        body = response.json()
        if body.get("errors"):
            raise ConfigurationError(f"Dagster refused the request: {body['errors'][0]['message']}")
        data: dict[str, Answer] = body["data"]
        return data


@dataclass(frozen=True, slots=True)
class Span:
    """Partition keys to build, and the assets that have such partitions."""

    keys: tuple[str, ...]
    assets: tuple[str, ...]


def parse_span(text: str, settings: Settings, now: datetime) -> Span:
    """Read `A..B` (or `A`) of minutes or of days, both ends included.

    Raises:
        ConfigurationError: not a span, reversed, in the future, or before the window.
    """
    match = SPAN.match(text)
    if match is None:
        raise ConfigurationError(_expected(text))
    first, last = match["first"], match["last"] or match["first"]
    try:
        if "T" in first:
            return _minutes(parse_minute(first), parse_minute(last), settings, now)
        start, end = day_start(parse_day(first)), day_start(parse_day(last))
    except ValueError as error:
        raise ConfigurationError(_expected(text)) from error
    _in_order(start, end, earliest=day_start(settings.history_start), ended=day_start(now.date()) + DAY, text=text)
    count = int((end - start) / DAY) + 1
    return Span(tuple(day_key(start + index * DAY) for index in range(count)), DAY_ASSETS)


def _minutes(first: datetime, last: datetime, settings: Settings, now: datetime) -> Span:
    text = f"{minute_key(first)}..{minute_key(last)}"
    instead = f"; older minutes are built as days (`iot backfill {day_key(first)}..{day_key(last)}`)"
    _in_order(first, last, earliest=settings.first_minute, ended=floor_minute(now), text=text, instead=instead)
    return Span(tuple(minute_key(minute) for minute in minutes_between(first, last)), MINUTE_ASSETS)


def _in_order(
    first: datetime, last: datetime, *, earliest: datetime, ended: datetime, text: str, instead: str = ""
) -> None:
    """Raise ConfigurationError unless partitions from `first` to `last` exist: those that begin before `ended`."""
    if last < first:
        raise ConfigurationError(f"{text}: ends before it begins")
    if first < earliest:
        raise ConfigurationError(f"{text}: partitions begin at {minute_key(earliest)} UTC{instead}")
    if last >= ended:
        raise ConfigurationError(
            f"{text}: ends in the future; no partition begins at {minute_key(ended)} UTC or later yet"
        )


def _expected(text: str) -> str:
    return (
        f"{text!r} is no span; expected minutes like 2026-11-22T10:00..2026-11-22T11:00 "
        "or days like 2026-11-01..2026-11-20, in UTC"
    )


def request_backfill(span: Span, dagster: Dagster) -> str:
    """Ask the web server for a backfill and return its id.

    Raises:
        TransientError: the web server is not there; nothing was asked for.
        ConfigurationError: it refused, with its reason.
    """
    params = {"assetSelection": [{"path": [name]} for name in span.assets], "partitionNames": list(span.keys)}
    answer = dagster.ask(LAUNCH, {"params": params})["launchPartitionBackfill"]
    if answer["__typename"] != "LaunchBackfillSuccess":
        raise ConfigurationError(f"Dagster refused the backfill: {answer.get('message', answer['__typename'])}")
    return answer["backfillId"]


def wait_for(dagster: Dagster, backfill: str, *, poll: Callable[[], None] = lambda: time.sleep(2)) -> str:
    """Wait until a backfill has ended and return its status."""
    while True:
        answer = dagster.ask(PROGRESS, {"id": backfill})["partitionBackfillOrError"]
        status = answer.get("status", answer["__typename"])
        if status in ENDED:
            return status
        poll()


def main(settings: Settings, span: str, *, wait: bool, echo: Callable[[str], None] = print) -> bool:
    """Request a backfill, say where it can be seen and, with `wait`, whether it ended well."""
    wanted = parse_span(span, settings, utc_now())
    dagster = Dagster(f"http://127.0.0.1:{settings.dagster_port}")
    backfill = request_backfill(wanted, dagster)
    echo(f"{len(wanted.keys)} partitions of {', '.join(wanted.assets)}: {dagster.address}/runs/b/{backfill}")
    if not wait:
        return True
    status = wait_for(dagster, backfill)
    echo(f"backfill {backfill}: {status.lower().replace('_', ' ')}")
    return status in GOOD
