"""HistoryRead: the changes of nodes since given instants, page by page, for what a subscription missed.

Which gaps there are and what becomes of the values is decided by the session.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncua import Client, ua

from iot_pipeline.sources.opcua.changes import Item, instant_of
from iot_pipeline.sources.opcua.inquiry import chunks

# Nodes and values a node in one answer: what is in memory at once is the product.
NODES = 20
VALUES = 500


@dataclass(slots=True)
class _Reading:
    """Where one node has arrived."""

    item: Item
    start: datetime
    continuation: bytes | None = None


async def read_history(
    client: Client, since: Mapping[Item, datetime], until: datetime, *, most_nodes: int
) -> AsyncIterator[tuple[Item, ua.StatusCode | list[ua.DataValue]]]:
    """Values of each item from its instant in `since` to `until`, oldest first, possibly some before it.

    A status instead of values: the server will not tell this node's history.
    Raises what the client raises when the server does not answer or knows no history at all.
    """
    # A request has one start: sorted, those that are asked together begin at nearly the same instant.
    for part in chunks(sorted(since.items(), key=lambda pair: pair[1]), min(NODES, most_nodes)):
        pending = [_Reading(item, part[0][1]) for item, _ in part]
        while pending:
            start = min(reading.start for reading in pending)
            now = [reading for reading in pending if reading.start == start or reading.continuation]
            results = await _request(client, now, start, until)
            for reading, result in zip(now, results, strict=True):
                values = _values(result)
                if values is None:
                    yield reading.item, result.StatusCode
                elif values:
                    yield reading.item, values
                if values is None or not _more(reading, result, values):
                    pending.remove(reading)


async def _request(
    client: Client, readings: list[_Reading], start: datetime, until: datetime
) -> list[ua.HistoryReadResult]:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = start
    details.EndTime = until
    details.NumValuesPerNode = VALUES
    details.ReturnBounds = False
    parameters = ua.HistoryReadParameters()
    parameters.HistoryReadDetails = details
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    parameters.ReleaseContinuationPoints = False
    for reading in readings:
        node = ua.HistoryReadValueId()
        node.NodeId = reading.item.node_id
        node.IndexRange = ""
        node.ContinuationPoint = reading.continuation
        parameters.NodesToRead.append(node)
    results: list[ua.HistoryReadResult] = await client.uaclient.session.history_read(parameters)
    return results


def _values(result: ua.HistoryReadResult) -> list[ua.DataValue] | None:
    if result.StatusCode.value == ua.StatusCodes.BadNoData:
        return []  # Not yet.
    if result.StatusCode.is_bad():
        return None
    return list(getattr(result.HistoryData, "DataValues", None) or ())


def _more(reading: _Reading, result: ua.HistoryReadResult, values: list[ua.DataValue]) -> bool:
    """Whether there may be more, and from where to ask for it."""
    previous, reading.continuation = reading.continuation, result.ContinuationPoint or None
    if reading.continuation is not None:
        return bool(reading.continuation != previous)  # the same one again would be for ever
    if len(values) < VALUES:
        return False
    # Some servers cut at the number asked for without a continuation point: go on behind the last value.
    last = instant_of(values[-1])
    if last is None:
        return False
    reading.start = last if last > reading.start else reading.start + timedelta(microseconds=1)
    return True
