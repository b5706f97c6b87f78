"""What the Sparkplug host knows at this moment: a small file, replaced at most once a second.

Only the record, its writer and its reader. It is for looking at: what counts is landed and decoded.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from iot_pipeline.paths import DataPaths
from iot_pipeline.protocols.sparkplug_session import HostSessions, Liveness, NodeSession

log = structlog.get_logger(__name__)

MOST_NODES_SHOWN = 1_000
T = TypeVar("T")
_COUNTERS = ("gaps", "lost", "reordered", "late", "rebirths", "stale_deaths")


@dataclass(frozen=True, slots=True)
class NodeState:
    """One edge node; see `NodeSession` for what the figures mean. Instants are UTC."""

    node: str  # group/node
    state: Liveness
    since: datetime
    bd_seq: int | None
    last_seq: int | None
    gaps: int
    lost: int
    reordered: int
    late: int
    rebirths: int
    stale_deaths: int
    devices: Mapping[str, Liveness]


@dataclass(frozen=True, slots=True)
class SparkplugHostState:
    """The host, totals over all nodes, and the first `MOST_NODES_SHOWN` nodes by name.

    Attributes:
        host_id: under `spBv1.0/STATE/`.
        collector: id of the collector that the host is part of.
        online: connected, subscribed and announced.
        since: when `online` last changed, UTC.
        written_at: UTC.
        totals: by name: nodes and devices by state (`nodes_online`), and sums of the nodes' counters.
        nodes: by name.
    """

    host_id: str
    collector: str
    online: bool
    since: datetime
    written_at: datetime
    totals: Mapping[str, int]
    nodes: tuple[NodeState, ...]


def totals_of(sessions: HostSessions[T]) -> dict[str, int]:
    """Nodes and devices by state, and sums of what the nodes count."""
    totals = dict.fromkeys([f"{what}_{state}" for what in ("nodes", "devices") for state in Liveness], 0)
    totals |= dict.fromkeys(_COUNTERS, 0)
    for node in sessions.nodes.values():
        totals[f"nodes_{node.state}"] += 1
        for device in node.devices.values():
            totals[f"devices_{device.state}"] += 1
        for name in _COUNTERS:
            totals[name] += getattr(node, name)
    return {**totals, "held": sessions.held}


def states_of(sessions: HostSessions[T]) -> tuple[NodeState, ...]:
    """The nodes as they are shown."""
    return tuple(_state_of(sessions.nodes[key]) for key in sorted(sessions.nodes)[:MOST_NODES_SHOWN])


def _state_of(node: NodeSession[T]) -> NodeState:
    return NodeState(
        node="/".join(node.key),
        state=node.state,
        since=node.since,
        bd_seq=node.bd_seq,
        last_seq=node.last_seq,
        gaps=node.gaps,
        lost=node.lost,
        reordered=node.reordered,
        late=node.late,
        rebirths=node.rebirths,
        stale_deaths=node.stale_deaths,
        devices={name: device.state for name, device in sorted(node.devices.items())},
    )


def state_file(paths: DataPaths, collector: str) -> Path:
    """Where the state of the host in `collector` is. A host id may hold what a file name must not."""
    return paths.state / f"sparkplug-{collector}.json"


def write_host_state(paths: DataPaths, state: SparkplugHostState) -> None:
    """Replace the state, atomically but not durably. What cannot be written is left for the next time."""
    path = state_file(paths, state.collector)
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(state))
        os.replace(temporary, path)
    except OSError as error:
        log.debug("host_state_not_written", file=str(path), error=str(error))
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_host_states(paths: DataPaths) -> list[SparkplugHostState]:
    """The last state of every host that ran on this data folder; unreadable ones are left out and logged."""
    states = []
    for path in sorted(paths.state.glob("sparkplug-*.json")):
        try:
            states.append(msgspec.json.decode(path.read_bytes(), type=SparkplugHostState))
        except (OSError, ValueError) as error:
            log.warning("host_state_unreadable", file=str(path), error=str(error))
    return states
