"""What routes share: the live layer when it can be asked, pages by key, and answers that a caller may keep.

No routes here, and no figures.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import polars as pl
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from iot_pipeline.clock import utc_now
from iot_pipeline.live.model import LiveState
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving import history
from iot_pipeline.serving.api.models.base import LiveHealth
from iot_pipeline.serving.api.paging import CursorError, Key, decode_cursor, encode_cursor
from iot_pipeline.serving.api.problems import not_found, unavailable, wrong
from iot_pipeline.serving.api.times import INSTANT_PATTERN, RangeError, TimeRange, time_range
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.settings import Settings

_Row = TypeVar("_Row")

Instant = Annotated[
    str,
    Field(
        pattern=INSTANT_PATTERN,
        max_length=40,
        description="ISO 8601 with an offset, `now`, or relative: -90s, -15m, -24h, -7d.",
        examples=["-24h", "2026-11-22T10:00:00Z"],
    ),
]
Cursor = Annotated[str, Field(description="`next_cursor` of the page before.")]


class Parameters(BaseModel):
    """Query parameters of a route; unknown ones are refused, because a misspelt filter would be none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Sources:
    """What routes answer from."""

    settings: Settings
    live: LiveView
    workers: Workers

    @property
    def paths(self) -> DataPaths:
        """The trees below the data folder."""
        return self.settings.paths

    def asked_live(self) -> LiveHealth:
        """How the live layer is. Raises Problem (503) while it is being rebuilt."""
        status = self.live.status()
        if status.state is LiveState.REBUILDING:
            raise unavailable(
                "live-rebuilding",
                f"the live layer is being rebuilt from landing, {status.progress:.0%} is done; "
                "published figures can be asked for meanwhile",
                retry_after=5,
            )
        return LiveHealth(state=status.state, visible_lag_seconds=status.visible_lag_seconds)


async def _sources(request: Request) -> Sources:
    sources: Sources = request.app.state.sources
    return sources


SourcesAsked = Annotated[Sources, Depends(_sources)]


def kept_by_caller(request: Request, answer: BaseModel) -> Response:
    """A published answer with its ETag; 304 without a body for a caller that has it already."""
    return tagged(request, answer.model_dump_json().encode(), "application/json")


def tagged(request: Request, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """The same for a body that was made already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def cursor_key(cursor: str | None, parts: int) -> Key | None:
    """The key behind which a page begins. Raises Problem (422) for a cursor that was not given here."""
    if cursor is None:
        return None
    try:
        return decode_cursor(cursor, parts)
    except CursorError as error:
        raise wrong("cursor", str(error)) from error


def cursor_instant(text: str | None) -> datetime:
    """The instant in a cursor's key. Raises Problem (422)."""
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError as error:
        raise wrong("cursor", "expected the `next_cursor` of the page before, unchanged") from error
    if instant.tzinfo is None:
        raise wrong("cursor", "expected the `next_cursor` of the page before, unchanged")
    return instant


def page_of(rows: Sequence[_Row], limit: int, key: Callable[[_Row], Key]) -> tuple[list[_Row], str | None]:
    """The first `limit` of `rows`, which holds one more where there is more, and the cursor of what follows."""
    page = list(rows[:limit])
    return page, encode_cursor(key(page[-1])) if len(rows) > limit and page else None


def range_asked(
    since: str | None,
    until: str | None,
    *,
    usual: timedelta,
    longest: timedelta,
    step: timedelta = timedelta(microseconds=1),
) -> TimeRange:
    """The range that a caller asks for, see `times.time_range`. Raises Problem (422)."""
    try:
        return time_range(since, until, now=utc_now(), usual=usual, longest=longest, step=step)
    except RangeError as error:
        raise wrong("since" if since is not None else "until", str(error)) from error


async def require_known(sources: Sources, device_id: str) -> None:
    """Raise Problem (404) for a device that neither layer knows."""
    if sources.live.latest(device_id):
        return
    if await sources.workers.run(history.known_device, sources.paths, device_id) is None:
        raise not_found(
            "device", "no device of this name is known; names are exact, and `/api/v1/devices?prefix=` finds them"
        )


def rows_behind(rows: pl.DataFrame, after: Key | None, time: str) -> pl.DataFrame:
    """The rows that follow the key of a cursor, in the order of `time`, metric and unit, in which a null unit is first.

    Raises Problem (422) for a cursor that was not given here.
    """
    if after is None or rows.is_empty():
        return rows
    start, metric, unit = cursor_instant(after[0]), after[1] or "", after[2]
    same_series = pl.col("metric") == metric
    follows = pl.col("unit").is_not_null() if unit is None else pl.col("unit") > unit
    return rows.filter(
        (pl.col(time) > start)
        | ((pl.col(time) == start) & ((pl.col("metric") > metric) | (same_series & follows.fill_null(value=False))))
    )
