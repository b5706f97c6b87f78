"""A real OPC UA server for tests, in a thread with its own event loop, that can be stopped and started again."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from asyncua import Server, ua
from asyncua.server.history import HistoryDict

from iot_pipeline.clock import utc_now
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.opcua import OpcuaSource
from iot_pipeline.sources.source import Received
from tests.servers import wait_until

URI = "urn:test:plant"
GOOD = ua.StatusCode()
T = TypeVar("T")
Prepare = Callable[[Server], Coroutine[Any, Any, None]]


class Plant:
    """Variables `ns=…;s=<name>` below one object `plant`, each written by `write`."""

    def __init__(
        self,
        port: int,
        values: Mapping[str, object],
        *,
        history: bool = False,
        historian: HistoryDict | None = None,
        namespaces: tuple[str, ...] = (URI,),
        prepare: Prepare | None = None,
        user_manager: object = None,
    ) -> None:
        self.port = port
        self._values = values
        self._history = history or historian is not None
        self._historian = historian
        self._namespaces = namespaces
        self._prepare = prepare
        self._user_manager = user_manager
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.server: Server = None

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        self.run(self._start())

    def stop(self) -> None:
        if self.server is not None:
            self.run(self.server.stop())
            self.server = None

    def close(self) -> None:
        self.stop()
        self.run(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def node_id(self, name: str) -> ua.NodeId:
        return ua.NodeId(name, 2 + self._namespaces.index(URI))

    def write(
        self, name: str, value: object, *, status: ua.StatusCode = GOOD, at: datetime | None = None, source: bool = True
    ) -> None:
        self.run(self.write_async(name, value, status=status, at=at, source=source))

    async def write_async(
        self, name: str, value: object, *, status: ua.StatusCode = GOOD, at: datetime | None = None, source: bool = True
    ) -> None:
        variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
        told = ua.DataValue(variant, status, (at or utc_now()) if source else None, utc_now())
        await self.server.write_attribute_value(self.node_id(name), told)

    async def _start(self) -> None:
        server = Server(user_manager=self._user_manager)
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for uri in self._namespaces:
            await server.register_namespace(uri)
        if self._historian is not None:
            server.iserver.history_manager.set_storage(self._historian)
        index = 2 + self._namespaces.index(URI)
        plant = await server.nodes.objects.add_object(ua.NodeId("plant", index), f"{index}:plant")
        for name, value in self._values.items():
            node = await plant.add_variable(ua.NodeId(name, index), f"{index}:{name}", value)
            if self._history:
                await server.historize_node_data_change(node)
        if self._prepare is not None:
            await self._prepare(server)
        await server.start()
        self.server = server


async def _end_tasks() -> None:
    """The library leaves some behind, those of its history for one."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class LaggingHistorian(HistoryDict):  # type: ignore[misc]  # the library tells no types of it
    """A history that stores what it is told at once or, while it `lags`, not before it has caught up.

    Attributes:
        asked: node and begin of each question, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lags = False
        self.asked: list[tuple[ua.NodeId, datetime]] = []
        self._waiting: list[tuple[ua.NodeId, ua.DataValue]] = []

    async def save_node_value(self, node_id: ua.NodeId, datavalue: ua.DataValue) -> None:
        if self.lags:
            self._waiting.append((node_id, datavalue))
        else:
            await super().save_node_value(node_id, datavalue)

    async def catch_up(self) -> None:
        """Store all that waits."""
        self.lags = False
        waiting, self._waiting = self._waiting, []
        for node_id, value in waiting:
            await super().save_node_value(node_id, value)

    async def read_node_history(
        self, node_id: ua.NodeId, start: datetime, end: datetime, nb_values: int
    ) -> tuple[list[ua.DataValue], datetime | None]:
        self.asked.append((node_id, start))
        found: tuple[list[ua.DataValue], datetime | None] = await super().read_node_history(
            node_id, start, end, nb_values
        )
        return found


@contextmanager
def plant(port: int, values: Mapping[str, object], **options: Any) -> Iterator[Plant]:
    """A running server for a `with` block."""
    running = Plant(port, values, **options)
    running.start()
    try:
        yield running
    finally:
        running.close()


def configured(settings: Settings, url: str, folder: Path, **server: object) -> Settings:
    """Settings whose `opcua` names a file with one server called `plant`."""
    path = folder / "opcua.yaml"
    told = {"name": "plant", "url": url, "publishing_interval_ms": 50, "sampling_interval_ms": 10, **server}
    path.write_text(yaml.safe_dump({"servers": [told]}))
    return load_settings(data=settings.data, opcua=path)


@contextmanager
def source_for(settings: Settings) -> Iterator[OpcuaSource]:
    source = OpcuaSource(settings)
    try:
        yield source
    finally:
        source.close()


def changes_of(received: list[Received]) -> list[dict[str, Any]]:
    """All changes in the payloads, in order."""
    return [change for told in received for change in msgspec.json.decode(told.message.payload)["changes"]]


def take(
    source: OpcuaSource, enough: Callable[[list[dict[str, Any]]], bool], what: str, *, acknowledge: bool = False
) -> list[dict[str, Any]]:
    """Poll until the changes that came are enough."""
    taken: list[dict[str, Any]] = []

    def done() -> bool:
        arrived = source.poll(0.05)
        taken.extend(changes_of(arrived))
        if acknowledge:
            source.acknowledge([told.receipt for told in arrived if told.receipt is not None])
        return enough(taken)

    wait_until(done, what)
    return taken


def connect(source: OpcuaSource, *, acknowledge: bool = False) -> list[dict[str, Any]]:
    """Poll until the source says that it is connected; what came meanwhile."""
    return take(source, lambda _: source.state.connected, "the source to connect", acknowledge=acknowledge)


def hear(source: OpcuaSource, nodes: int = 2) -> None:
    """Poll until so many nodes told their first values: what comes after a loss has a begin only then."""
    connect(source)
    take(source, lambda _: source.state.counts["changes"] >= nodes, "the first values")


def values_of(changes: list[dict[str, Any]], metric: str) -> list[Any]:
    return [change.get("value") for change in changes if change["metric"] == metric]
