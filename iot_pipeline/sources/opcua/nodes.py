"""Which nodes of a server are collected, and what they are called: namespaces, browsing, names, units.

Done once for each connection. How a server is asked of many nodes at once is `inquiry.py`; values are read elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import structlog
from asyncua import Client, ua

from iot_pipeline.sources.opcua.changes import Item
from iot_pipeline.sources.opcua.config import BrowseEntry, NodeEntry, ServerConfig
from iot_pipeline.sources.opcua.inquiry import HAS_PROPERTY, Inquiry, Limits, plain_id, read_limits

log = structlog.get_logger(__name__)

DEEPEST = 32
_SERVER_OBJECT = ua.NodeId(ua.ObjectIds.Server)
_TOPS = frozenset({ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.NodeId(ua.ObjectIds.RootFolder)})


@dataclass(slots=True)
class Resolved:
    """What a configuration means on the present connection."""

    items: list[Item] = field(default_factory=list)
    # Node ids whose namespace the server does not have, as they are written in the file.
    unknown: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)


async def resolve(client: Client, config: ServerConfig) -> Resolved:
    """Find and name the nodes of `config`. Raises what the client raises when the server does not answer."""
    return await _Resolver(client, config, await read_limits(client)).run()


class _Resolver:
    """The parents and names that one connection has told so far."""

    def __init__(self, client: Client, config: ServerConfig, limits: Limits) -> None:
        self._client = client
        self._inquiry = Inquiry(client, limits)
        self._config = config
        self._limits = limits
        self._uris: list[str] = []
        self._parents: dict[ua.NodeId, ua.NodeId | None] = {}
        self._names: dict[ua.NodeId, str] = {}

    async def run(self) -> Resolved:
        self._uris = await self._client.get_namespace_array()
        resolved = Resolved(limits=self._limits)
        wanted: dict[ua.NodeId, NodeEntry] = {}
        for entry in self._config.nodes:
            node_id = self._present(entry.id)
            if node_id is None:
                resolved.unknown.append(entry.id)
            else:
                wanted.setdefault(node_id, entry)
        for browse in self._config.browse:
            start = self._present(browse.start)
            if start is None:
                resolved.unknown.append(browse.start)
                continue
            for node_id in await self._variables_below(start, browse):
                wanted.setdefault(node_id, NodeEntry(id=node_id.to_string()))
        nodes = list(wanted)
        await self._learn_names(nodes)
        await self._learn_parents(nodes)
        history = await self._with_history(nodes)
        units = await self._units([node for node in nodes if wanted[node].unit is None])
        items = (
            Item(
                self.stable_name(node),
                node,
                entry.device or self._device(node),
                entry.metric or self._names.get(node) or str(node.Identifier),
                units.get(node) if entry.unit is None else entry.unit or None,
                node in history,
            )
            for node, entry in wanted.items()
        )
        resolved.items = _told_apart(items)
        return resolved

    def _present(self, text: str) -> ua.NodeId | None:
        """The node id with the index that its namespace has now; None when the server has no such namespace."""
        node_id = ua.NodeId.from_string(text)
        uri = node_id.NamespaceUri if isinstance(node_id, ua.ExpandedNodeId) else None
        if uri is None:
            return plain_id(node_id)
        if uri not in self._uris:
            return None
        return ua.NodeId(node_id.Identifier, self._uris.index(uri), node_id.NodeIdType)

    def stable_name(self, node_id: ua.NodeId) -> str:
        """The node id with the URI of its namespace instead of the index."""
        index = node_id.NamespaceIndex
        text = node_id.to_string()
        return f"nsu={self._uris[index]};{text.partition(';')[2]}" if 0 < index < len(self._uris) else text

    async def _variables_below(self, start: ua.NodeId, browse: BrowseEntry) -> list[ua.NodeId]:
        found: list[ua.NodeId] = []
        paths = {start: ""}
        frontier = [start]
        for _ in range(DEEPEST):
            below: list[ua.NodeId] = []
            for parent, reference in await self._inquiry.browse(frontier, ua.BrowseDirection.Forward):
                node = plain_id(reference.NodeId)
                if node in paths or node == _SERVER_OBJECT or reference.ReferenceTypeId == HAS_PROPERTY:
                    continue
                name = reference.BrowseName.Name or ""
                paths[node] = f"{paths[parent]}/{name}" if paths[parent] else name
                self._parents[node], self._names[node] = parent, name
                below.append(node)
                if reference.NodeClass == ua.NodeClass.Variable and _wanted(paths[node], browse):
                    found.append(node)
            if not below or len(found) > browse.most:
                break
            frontier = below
        if len(found) > browse.most:
            log.warning("opcua_browse_cut", server=self._config.name, start=browse.start, most=browse.most)
        return found[: browse.most]

    async def _learn_names(self, nodes: Sequence[ua.NodeId]) -> None:
        def name_of(value: ua.DataValue) -> str | None:
            name = value.Value.Value
            return name.Name if isinstance(name, ua.QualifiedName) else None

        unknown = [node for node in nodes if node not in self._names]
        told = await self._inquiry.attribute(unknown, ua.AttributeIds.BrowseName, name_of)
        self._names |= {node: name for node, name in told.items() if name}

    async def _learn_parents(self, nodes: Sequence[ua.NodeId]) -> None:
        """Follow hierarchical references upwards until the objects folder."""
        frontier = set(nodes)
        for _ in range(DEEPEST):
            known = {parent for node in frontier if (parent := self._parents.get(node)) is not None}
            unknown = [node for node in frontier if node not in self._parents]
            self._parents |= dict.fromkeys(unknown, None)
            for node, reference in await self._inquiry.browse(unknown, ua.BrowseDirection.Inverse):
                parent = plain_id(reference.NodeId)
                if self._parents[node] is None:
                    self._parents[node] = parent
                    self._names.setdefault(parent, reference.BrowseName.Name or "")
                    known.add(parent)
            frontier = known - _TOPS
            if not frontier:
                return
            await self._learn_names(list(frontier))

    def _device(self, node: ua.NodeId) -> str:
        names: list[str] = []
        parent = self._parents.get(node)
        while parent is not None and parent not in _TOPS and len(names) < DEEPEST:
            names.append(self._names.get(parent) or str(parent.Identifier))
            parent = self._parents.get(parent)
        path = "/".join(reversed(names))
        # Names from outside may hold braces: nothing in them is looked at again.
        values = {"server": self._config.name, "path": path, "parent": names[0] if names else ""}
        device = "".join(
            values[part] if index % 2 else part
            for index, part in enumerate(self._config.device.replace("}", "{").split("{"))
        )
        return device.strip("/") or self._config.name

    async def _with_history(self, nodes: Sequence[ua.NodeId]) -> set[ua.NodeId]:
        def readable(value: ua.DataValue) -> bool:
            level = value.Value.Value
            return isinstance(level, int) and bool(level & ua.AccessLevel.HistoryRead.mask)

        levels = await self._inquiry.attribute(nodes, ua.AttributeIds.UserAccessLevel, readable)
        return {node for node, told in levels.items() if told}

    async def _units(self, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, str]:
        """Units by the property EngineeringUnits (OPC 10000-8, 5.6.3), where a node has one."""

        def unit_of(value: ua.DataValue) -> str | None:
            told = value.Value.Value
            return told.DisplayName.Text if isinstance(told, ua.EUInformation) else None

        try:
            properties = await self._inquiry.properties(nodes, "EngineeringUnits")
        except ua.UaStatusCodeError as error:
            log.info("opcua_units_unknown", server=self._config.name, reason=str(error))
            return {}
        told = await self._inquiry.attribute(list(properties.values()), ua.AttributeIds.Value, unit_of)
        units = {node: told.get(where) for node, where in properties.items()}
        return {node: unit for node, unit in units.items() if unit}


def _wanted(path: str, browse: BrowseEntry) -> bool:
    included = any(fnmatchcase(path, glob) for glob in browse.include)
    return included and not any(fnmatchcase(path, glob) for glob in browse.exclude)


def _told_apart(items: Iterable[Item]) -> list[Item]:
    """No two nodes under the same device, metric and unit: their readings would be taken for one another."""
    kept: list[Item] = []
    taken: set[tuple[str, str, str | None]] = set()
    for item in items:
        identity = (item.device, item.metric, item.unit)
        if identity in taken:
            renamed = Item(item.name, item.node_id, item.device, item.name, item.unit, item.history)
            log.warning("opcua_names_collide", node=item.name, device=item.device, metric=item.metric)
            kept.append(renamed)
        else:
            taken.add(identity)
            kept.append(item)
    return kept
