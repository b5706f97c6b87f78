"""One OPC UA server: connect, collect, fill gaps from history, and connect again when it ends.

It runs until it is cancelled and hands changes over; what is durable is known by `positions.py`.
"""

import asyncio
import contextlib
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from asyncua import Client, ua

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, StorageUnavailable
from iot_pipeline.sources.opcua.changes import Item, instant_of, overflowed, pack, render, status_change
from iot_pipeline.sources.opcua.config import ServerConfig, secret
from iot_pipeline.sources.opcua.gaps import tell_filled
from iot_pipeline.sources.opcua.handover import Handover, Outgoing
from iot_pipeline.sources.opcua.history import read_history
from iot_pipeline.sources.opcua.nodes import Resolved, resolve
from iot_pipeline.sources.opcua.positions import Landed, at_mark
from iot_pipeline.sources.opcua.progress import Progress
from iot_pipeline.sources.opcua.security import secure
from iot_pipeline.sources.opcua.subscription import Subscription, Values
from iot_pipeline.sources.trouble import Backoff, Trouble

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 10.0
# How often the client asks for the server's state, and how long it waits for the answer.
WATCHDOG_SECONDS = 5.0
CLOSE_SECONDS = 2.0
STABLE_SECONDS = 10.0
MISSING_SECONDS = 60.0
# The server's clock may be ahead of ours by this when "until now" is asked of its history.
CLOCK_SKEW = timedelta(minutes=5)
# Wrong credentials: accounts are locked after some attempts, so there are few.
LOGON_ERRORS = frozenset(
    {
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadIdentityTokenInvalid,
    }
)
_FAILURES = (ua.UaError, OSError, TimeoutError, ConfigurationError, StorageUnavailable, ValueError)


class ServerSession:
    """The connection to one server. All runs in the event loop; the public properties are read anywhere."""

    def __init__(
        self, config: ServerConfig, handover: Handover, *, folder: Path, application_uri: str, landed: Landed | None
    ) -> None:
        """Nothing is opened yet.

        Args:
            config: the server and its nodes.
            handover: where changes go; it makes us wait when it is full.
            folder: certificates of this client, trusted and rejected ones.
            application_uri: of this client.
            landed: what an earlier process had landed of this server.
        """
        self._config = config
        self._handover = handover
        self._folder = folder
        self._uri = application_uri
        self._progress = Progress(landed, lag=config.history_lag_s)
        self._trouble = Trouble("opcua_server_unavailable")
        self._overflows = Trouble("opcua_queue_overflow")
        self._backoff = Backoff()
        self._logon_backoff = Backoff(first=60, longest=600)
        self._counts = Counter({"changes": 0, "changes_from_history": 0, "overflows": 0, "notifications_missed": 0})
        self._lost = asyncio.Event()
        self._resolved = Resolved()
        self._subscription: Subscription | None = None
        self.connected = False
        self.connections = 0

    @property
    def problem(self) -> str | None:
        """What is wrong at the moment, in words."""
        name = self._config.name
        if self._trouble.reason is not None:
            return f"{name}: {self._trouble.reason}"
        missing = dict(self._subscription.missing) if self._subscription is not None else {}
        if missing:
            node, reason = next(iter(missing.items()))
            return f"{name}: {len(missing)} nodes cannot be collected, the first is {node} ({reason})"
        return None

    @property
    def counts(self) -> dict[str, int]:
        """What was counted since the start, and how many nodes are collected how at the moment."""
        now = {"nodes": len(self._resolved.items), "nodes_missing": 0, "nodes_polled": 0}
        if self._subscription is not None:
            now |= {"nodes_missing": len(self._subscription.missing), "nodes_polled": len(self._subscription.polled)}
        return {**self._counts, **now}

    async def run(self) -> None:
        """Collect until cancelled; whatever goes wrong is told, waited out and tried again."""
        while True:
            began = time.monotonic()
            try:
                await self._collect()
            except asyncio.CancelledError:
                self.connected = False
                raise
            except _FAILURES as error:
                reason, backoff = self._explain(error)
            except Exception as error:  # noqa: BLE001 -- a surprise of one server must not end the others
                # No stack trace: the log shows the variables with it, and a password may be among them.
                place = traceback.extract_tb(error.__traceback__)[-1]
                reason = f"{type(error).__name__} in {place.name} ({place.filename}:{place.lineno}): {error}"
                backoff = self._backoff
            if self.connected and time.monotonic() - began >= STABLE_SECONDS:
                self._backoff.reset()
            self.connected = False
            self._trouble.report(reason, server=self._config.name, url=self._config.url)
            await asyncio.sleep(backoff.delay())

    def _explain(self, error: Exception) -> tuple[str, Backoff]:
        code = getattr(error, "code", None)
        if code in LOGON_ERRORS:
            user = self._config.user
            who = f"user {user.name!r}, password from {user.password_env}" if user else "anonymous"
            refused = f"the server refused the logon ({who}): {ua.StatusCode(code).name}"
            return f"{refused}; tried again rarely, so that the account is not locked", self._logon_backoff
        if code is not None:
            status = ua.StatusCode(code)
            return f"{status.name}: {status.doc}", self._backoff
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno), self._backoff
        if isinstance(error, TimeoutError):
            return f"no answer within {REQUEST_SECONDS:g} s", self._backoff
        return str(error) or type(error).__name__, self._backoff

    async def _collect(self) -> None:
        """One connection from its beginning to its end, which is always an error."""
        self._lost = asyncio.Event()
        client = self._client()
        try:
            await secure(client, self._config, self._folder)
            await client.connect()
            self._resolved = resolved = await resolve(client, self._config)
            lost = self._progress.without_history(resolved.items)
            self._progress.begin(resolved.items)
            self._subscription = subscription = Subscription(
                client,
                self._config,
                resolved,
                take=self._live,
                still=self._unchanged,
                missed=self._missed,
                ended=self._lost.set,
            )
            absent = await subscription.start()
            self._connected(subscription, lost)
            await self._hand_over([status_change(item, status) for item, status in absent])
            await self._fill(client)
            await self._watch(client, subscription)
        finally:
            await _disconnect(client)

    def _client(self) -> Client:
        client = Client(self._config.url, timeout=REQUEST_SECONDS, watchdog_intervall=WATCHDOG_SECONDS)
        client.application_uri = self._uri
        client.name = client.description = "iot-pipeline collector"
        if self._config.user is not None:
            client.set_user(self._config.user.name)
            client.set_password(secret(self._config.user.password_env).get_secret_value())
        client.connection_lost_callback = self._connection_lost
        return client

    async def _connection_lost(self, _: Exception) -> None:
        self._lost.set()

    def _connected(self, subscription: Subscription, lost: tuple[int, datetime] | None) -> None:
        name = self._config.name
        self._logon_backoff.reset()
        self._trouble.over(server=name)
        self.connected = True
        self.connections += 1
        polled, missing = len(subscription.polled), len(subscription.missing)
        log.info("opcua_connected", server=name, nodes=len(self._resolved.items), polled=polled, missing=missing)
        if missing:
            log.warning("opcua_nodes_missing", server=name, nodes=subscription.missing)
        if lost is not None:
            nodes, since = lost
            outcome = "the server keeps no history of these nodes: changes in this time are lost"
            log.warning("opcua_gap", server=name, nodes=nodes, since=str(since), until=str(utc_now()), outcome=outcome)

    async def _live(self, values: Values) -> None:
        for item, value in values:
            if overflowed(value):
                self._note_overflow(item, value)
        self._counts["changes"] += len(values)
        changes = [render(item, value) for item, value in values]
        marks, heard = self._progress.live(values)
        await self._hand_over(changes, marks, heard)

    async def _unchanged(self, values: Values) -> None:
        # No marks: their times are the server's, and those of changes may be of another clock.
        await self._hand_over(render(item, value) for item, value in values)

    def _note_overflow(self, item: Item, value: ua.DataValue) -> None:
        self._counts["overflows"] += 1
        self._overflows.report(
            "the server dropped changes because a node's queue was full; a larger queue_size or a faster "
            "publishing_interval_ms helps",
            server=self._config.name,
            node=item.name,
            before=str(instant_of(value)),
            outcome="history is asked for" if item.history else "these changes are lost",
        )
        self._progress.read_again(item)

    def _missed(self, expected: int, got: int) -> None:
        self._counts["notifications_missed"] += 1
        without = sum(not item.history for item in self._resolved.items)
        log.warning(
            "opcua_notification_missed",
            server=self._config.name,
            expected=expected,
            got=got,
            outcome=f"history is asked for; changes of {without} nodes without history may be lost",
        )
        for item in self._resolved.items:
            self._progress.read_again(item)

    async def _hand_over(
        self, changes: Iterable[bytes], marks: dict[str, int] | None = None, heard: datetime | None = None
    ) -> None:
        """Queue the changes; what may be remembered goes with the last message, which lands last."""
        payloads = list(pack(self._config.name, changes))
        for number, payload in enumerate(payloads, start=1):
            last = number == len(payloads)
            told = (marks or {}, heard) if last else ({}, None)
            await self._handover.put(Outgoing(self._config.name, self._config.topic, payload, *told))

    async def _fill(self, client: Client) -> None:
        """Ask the history of nodes whose turn it is, and hand over what it tells."""
        gaps = self._progress.gaps
        now = time.monotonic()
        due = gaps.due(now)
        gaps.asked(due, now)
        since = {item: at_mark(mark) for item, mark in due.items()}
        until = utc_now() + CLOCK_SKEW
        try:
            async for item, answer in read_history(client, since, until, most_nodes=self._resolved.limits.history):
                if isinstance(answer, ua.StatusCode):
                    gaps.refused(item, answer.name)
                    continue
                self._counts["changes_from_history"] += len(answer)
                await self._hand_over(render(item, value) for value in answer)
                self._progress.told(item, answer)
        except ua.UaStatusCodeError as error:
            for item in due:
                gaps.refused(item, ua.StatusCode(error.code).name)
        if (filled := self._progress.close_gaps()) is not None:
            tell_filled(filled, server=self._config.name, lag=self._config.history_lag_s)

    async def _watch(self, client: Client, subscription: Subscription) -> None:
        """Poll, look whether the connection lives, try missing nodes again. Ends with an error."""
        next_missing = time.monotonic() + MISSING_SECONDS
        while True:
            wait = self._config.publishing_interval_ms / 1000 if subscription.polled else 1.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), wait)
            if self._lost.is_set():
                raise ConnectionError("the connection was lost")
            if (silent := subscription.silent_seconds) is not None:
                raise ConnectionError(f"the server published nothing for {silent:.0f} s, not even that it lives")
            await subscription.poll()
            await self._fill(client)
            if time.monotonic() >= next_missing:
                next_missing = time.monotonic() + MISSING_SECONDS
                await subscription.retry_missing()


async def _disconnect(client: Client) -> None:
    """Close session, channel and socket; whatever does not answer in time is left behind."""
    closing = asyncio.create_task(client.disconnect())
    # Not `wait_for`: the library swallows cancellation while it closes, and one would wait for its requests.
    done, _ = await asyncio.wait([closing], timeout=CLOSE_SECONDS)
    client.disconnect_socket()  # Fails what is still asked.
    if not done:
        closing.cancel()
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
    if closing.done() and not closing.cancelled() and (error := closing.exception()) is not None:
        log.debug("opcua_not_closed", error=type(error).__name__)
    await asyncio.sleep(0)  # The transport closes in the next round of the loop.
