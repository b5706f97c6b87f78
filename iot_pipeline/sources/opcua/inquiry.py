"""Asking a server of many nodes at once: browsing, attributes and properties, in requests of the size that it allows.

What is asked and what follows from the answers is the business of the caller.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from asyncua import Client, ua

# What is asked for at once where the server names no limit of its own.
MOST_PER_CALL = 500
_LIMITS = {
    "read": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "browse": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    "translate": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
    "monitor": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "history": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
}
HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
_T = TypeVar("_T")


def chunks(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """`values` in lists of at most `size`."""
    iterator = iter(values)
    while part := list(islice(iterator, size)):
        yield part


@dataclass(frozen=True, slots=True)
class Limits:
    """How many nodes one request may name."""

    read: int = MOST_PER_CALL
    browse: int = MOST_PER_CALL
    translate: int = MOST_PER_CALL
    monitor: int = MOST_PER_CALL
    history: int = MOST_PER_CALL


async def read_limits(client: Client) -> Limits:
    """What the server says it allows, MOST_PER_CALL where it says nothing or more."""
    values = await client.uaclient.read_attributes(
        [ua.NodeId(identifier) for identifier in _LIMITS.values()], ua.AttributeIds.Value
    )
    told = {
        name: min(value.Value.Value, MOST_PER_CALL)
        for name, value in zip(_LIMITS, values, strict=True)
        if value.StatusCode.is_good() and isinstance(value.Value.Value, int) and value.Value.Value > 0
    }
    return Limits(**told)


class Inquiry:
    """Bulk requests on one connection. They raise what the client raises when the server does not answer."""

    def __init__(self, client: Client, limits: Limits) -> None:
        self._session = client.uaclient.session
        self._limits = limits

    async def browse(
        self, nodes: Sequence[ua.NodeId], direction: ua.BrowseDirection
    ) -> list[tuple[ua.NodeId, ua.ReferenceDescription]]:
        """(node, reference) for the hierarchical references of all `nodes`, to objects and variables."""
        found: list[tuple[ua.NodeId, ua.ReferenceDescription]] = []
        for part in chunks(nodes, self._limits.browse):
            parameters = ua.BrowseParameters()
            parameters.View.Timestamp = ua.get_win_epoch()
            parameters.NodesToBrowse = [_description(node, direction) for node in part]
            parameters.RequestedMaxReferencesPerNode = 0
            results = list(zip(part, await self._session.browse(parameters), strict=True))
            while results:
                found += [(node, reference) for node, result in results for reference in result.References or ()]
                results = await self._browse_next([pair for pair in results if pair[1].ContinuationPoint])
        return found

    async def _browse_next(
        self, unfinished: list[tuple[ua.NodeId, ua.BrowseResult]]
    ) -> list[tuple[ua.NodeId, ua.BrowseResult]]:
        if not unfinished:
            return []
        parameters = ua.BrowseNextParameters()
        parameters.ReleaseContinuationPoints = False
        parameters.ContinuationPoints = [result.ContinuationPoint for _, result in unfinished]
        answers = await self._session.browse_next(parameters)
        return [(node, answer) for (node, _), answer in zip(unfinished, answers, strict=True)]

    async def attribute(
        self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds, read: Callable[[ua.DataValue], _T]
    ) -> dict[ua.NodeId, _T]:
        """What `read` makes of an attribute of `nodes`, for those that have it."""
        told: dict[ua.NodeId, _T] = {}
        for part in chunks(nodes, self._limits.read):
            values = await self._session.read_attributes(part, attribute)
            told |= {
                node: read(value)
                for node, value in zip(part, values, strict=True)
                if value.StatusCode.is_good() and value.Value is not None
            }
        return told

    async def properties(self, nodes: Sequence[ua.NodeId], name: str) -> dict[ua.NodeId, ua.NodeId]:
        """The nodes of the property `name` (of namespace 0) of `nodes`, for those that have it."""
        found: dict[ua.NodeId, ua.NodeId] = {}
        for part in chunks(nodes, self._limits.translate):
            paths = [_property_path(node, name) for node in part]
            for node, result in zip(part, await self._session.translate_browsepaths_to_nodeids(paths), strict=True):
                if result.StatusCode.is_good() and result.Targets:
                    found[node] = plain_id(result.Targets[0].TargetId)
        return found


def plain_id(node_id: ua.NodeId) -> ua.NodeId:
    """A node id without what an expanded one has beside it."""
    return ua.NodeId(node_id.Identifier, node_id.NamespaceIndex, node_id.NodeIdType)


def _description(node: ua.NodeId, direction: ua.BrowseDirection) -> ua.BrowseDescription:
    description = ua.BrowseDescription()
    description.NodeId = node
    description.BrowseDirection = direction
    description.ReferenceTypeId = _HIERARCHICAL
    description.IncludeSubtypes = True
    description.NodeClassMask = ua.NodeClass.Object | ua.NodeClass.Variable
    description.ResultMask = ua.BrowseResultMask.All
    return description


def _property_path(node: ua.NodeId, name: str) -> ua.BrowsePath:
    element = ua.RelativePathElement()
    element.ReferenceTypeId = HAS_PROPERTY
    element.IsInverse = False
    element.IncludeSubtypes = True
    element.TargetName = ua.QualifiedName(name, 0)
    path = ua.BrowsePath()
    path.StartingNode = node
    path.RelativePath.Elements = [element]
    return path
