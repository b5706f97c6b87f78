"""The walk over every leaf of a record, with what is known of each path remembered.

Devices send the same paths again and again: whether a path is wanted, its metric and its unit are
worked out once and kept in a tree of nodes that follows the shape of the records.
"""

from collections.abc import Callable

from iot_pipeline.readings.decoding.binding import used_paths
from iot_pipeline.readings.decoding.context import RecordContext
from iot_pipeline.readings.decoding.targets import Target, Targets
from iot_pipeline.readings.language.beside import Step
from iot_pipeline.readings.language.fields import Json, Missing, compile_path, dotted, parse_path
from iot_pipeline.readings.language.globs import compile_globs
from iot_pipeline.readings.language.model import Mapping
from iot_pipeline.readings.schema import QuarantineReason

DEEPEST = 64  # levels below which nothing is read
MOST_NODES = 50_000  # a sender that invents keys must not fill the memory: the tree starts again


class Node:
    """What is known of one path."""

    __slots__ = ("children", "path", "steps", "target", "unwanted")

    def __init__(self, path: str, steps: tuple[Step, ...]) -> None:
        self.path = path
        self.steps = steps
        self.children: dict[str | int, Node] = {}
        self.unwanted = False  # neither this leaf nor anything below it
        self.target: Target | None = None  # None: this leaf is not wanted


class LeafTree:
    """The nodes of one mapping, for one set of captures that targets depend on."""

    def __init__(
        self,
        start: tuple[Step, ...],
        *,
        include: Callable[[str], bool],
        exclude: Callable[[str], bool],
        target_of: "Callable[[str, tuple[Step, ...]], Target]",
    ) -> None:
        self._start = start
        self._include = include
        self._exclude = exclude
        self._target_of = target_of
        self._count = 0
        self._root = self._node(dotted(start), start)

    def root(self) -> Node:
        """The node to start a record at."""
        if self._count > MOST_NODES:
            self._count = 0
            self._root = self._node(dotted(self._start), self._start)
        return self._root

    def child(self, node: Node, step: str | int) -> Node:
        """The node one step below, made when it is new."""
        found = node.children.get(step)
        if found is None:
            found = node.children[step] = self._node(_below(node.path, step), (*node.steps, step))
        return found

    def _node(self, path: str, steps: tuple[Step, ...]) -> Node:
        node = Node(path, steps)
        self._count += 1
        node.unwanted = bool(path) and self._exclude(path)
        if not node.unwanted and self._include(path):
            node.target = self._target_of(path, steps)
        return node


def _below(path: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


class Leaves:
    """Every wanted leaf of a record."""

    def __init__(self, mapping: Mapping, targets: Targets) -> None:
        rule = mapping.leaves
        if rule is None:
            raise ValueError("a mapping without leaves has none to walk over")
        self._arrays = rule.arrays == "index"
        path = parse_path(rule.under)
        self._start = compile_path(path)
        unwanted, reserved = compile_globs(rule.exclude), frozenset(used_paths(mapping)) - {""}
        below = len(path.dotted) + 1 if path.dotted else 0
        under = len(path.alternatives[0].steps)
        self._tree = LeafTree(
            path.alternatives[0].steps,
            include=compile_globs(rule.include),
            exclude=lambda leaf: leaf in reserved or unwanted(leaf),
            target_of=lambda leaf, steps: targets.leaf(leaf, leaf[below:], steps, under),
        )

    def walk(self, context: RecordContext) -> None:
        """Emit the leaves of the context's record."""
        start = self._start(context.record, context.root, context.key)
        if isinstance(start, Missing) or start is None:
            return
        node = self._tree.root()
        if type(start) is dict or type(start) is list:
            self._below(start, node, context, 0)
        elif node.target is not None:
            context.emit(node.target, start)

    def _below(self, value: Json, node: Node, context: RecordContext, depth: int) -> None:
        if depth > DEEPEST:
            context.sink.reject(node.path, QuarantineReason.WRONG_SHAPE, f"nested deeper than {DEEPEST} levels")
            return
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list) and self._arrays:
            items = enumerate(value)  # type: ignore[assignment]
        else:
            return
        children, emit = node.children, context.emit
        for step, inner in items:
            child = children.get(step) or self._tree.child(node, step)
            if child.unwanted:
                continue
            kind = type(inner)
            if kind is dict or kind is list:
                self._below(inner, child, context, depth + 1)
            elif child.target is not None:
                emit(child.target, inner)
