"""From data values of OPC UA to the JSON that is landed: one object a change, many changes a message.

Nothing is judged here: status codes are named, values keep their type. What a reading is, the mapping says.
"""

import base64
import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

import msgspec
from asyncua import ua

from iot_pipeline.clock import utc_now

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
# Far below the setting max_payload_bytes, beyond which a message is quarantined unread.
MESSAGE_BYTES = 256_000
_SEVERITIES = ("good", "uncertain", "bad", "bad")
_OVERFLOW = 0x480  # info bits of a data value: type 01, and `Overflow`
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Item:
    """A node that is collected and what its readings are called.

    `name` is the node id with the namespace's URI in it, which stays the same when a restarted
    server numbers its namespaces anew; `node_id` is valid for one connection.
    """

    name: str
    node_id: ua.NodeId
    device: str
    metric: str
    unit: str | None = None
    history: bool = False


class Change(msgspec.Struct, omit_defaults=True):
    """One object in `changes`. Numbers and booleans are in `value`, texts in `text`.

    Arrays and structures have a null `value` and are under their own key, so that they are passed
    over unless a mapping asks for them.
    """

    node: str
    device: str
    metric: str
    status: str
    quality: str
    value: bool | int | float | str | msgspec.UnsetType | None = msgspec.UNSET
    text: str | None = None
    array: list[Plain] | None = None
    structure: dict[str, Plain] | None = None
    unit: str | None = None
    source_ts: datetime | None = None
    server_ts: datetime | None = None


def overflowed(value: ua.DataValue) -> bool:
    """Whether the server says that it dropped changes of this node because its queue was full."""
    status = value.StatusCode
    return status is not None and status.value & _OVERFLOW == _OVERFLOW


def instant_of(value: ua.DataValue) -> datetime | None:
    """Source timestamp, or the server's where the source tells none."""
    instant: datetime | None = value.SourceTimestamp or value.ServerTimestamp
    return instant


def render(item: Item, value: ua.DataValue) -> bytes:
    """The JSON object of one change."""
    name, quality = _status(0 if value.StatusCode is None else value.StatusCode.value)
    change = Change(
        item.name,
        item.device,
        item.metric,
        name,
        quality,
        unit=item.unit,
        source_ts=value.SourceTimestamp,
        server_ts=value.ServerTimestamp,
    )
    content = None if value.Value is None else value.Value.Value
    try:
        if type(content) is float:
            change.value = content if math.isfinite(content) else _not_finite(content)
        else:
            _set(change, content)
        return _encode(change)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # One odd value must not take the others of its notification with it.
        change.value, change.text, change.array = None, None, None
        change.structure = {"unreadable": f"{type(content).__name__}: {type(error).__name__}"}
        return _encode(change)


def pack(server: str, changes: Iterable[bytes]) -> Iterator[bytes]:
    """Payloads `{"server": ..., "changes": [...]}` of about MESSAGE_BYTES at most."""
    head = b'{"server":' + _encode(server) + b',"changes":['
    part: list[bytes] = []
    size = 0
    for change in changes:
        if part and size + len(change) > MESSAGE_BYTES:
            yield head + b",".join(part) + b"]}"
            part, size = [], 0
        part.append(change)
        size += len(change) + 1
    if part:
        yield head + b",".join(part) + b"]}"


def status_change(item: Item, status: ua.StatusCode) -> bytes:
    """What is landed for a node that cannot be collected: no value, and why."""
    return render(item, ua.DataValue(Value=ua.Variant(), StatusCode=status, ServerTimestamp=utc_now()))


@lru_cache(maxsize=1024)
def _status(code: int) -> tuple[str, str]:
    # The lower half holds flags such as `Overflow`, not the meaning.
    return ua.StatusCode(code & 0xFFFF0000).name, _SEVERITIES[code >> 30]


def _set(change: Change, content: object) -> None:
    plain = _plain(content)
    if isinstance(plain, list):
        change.value, change.array = None, plain
    elif isinstance(plain, dict):
        change.value, change.structure = None, plain
    elif isinstance(plain, str):
        change.text = plain
    else:
        change.value = plain


def _not_finite(value: float) -> str:
    # JSON has no such numbers, and null would pass as "no value": as a text it is refused, and seen.
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _plain(value: object) -> Plain:  # noqa: C901, PLR0911  # one line for each kind of value that the protocol has
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, ua.LocalizedText):
        return str(value.Text or "")
    if isinstance(value, ua.NodeId | ua.QualifiedName):
        return str(value.to_string())
    if isinstance(value, ua.StatusCode):
        return str(value.name)
    if isinstance(value, ua.Variant):
        return _plain(value.Value)
    if dataclasses.is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    return str(value) if isinstance(value, UUID) else repr(value)
