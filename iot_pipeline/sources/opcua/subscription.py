"""One subscription on one connection: monitored items, what is published, and nodes that must be read instead.

It knows no files, no history and no reconnecting; what arrives goes to the session that made it.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from asyncua import Client, ua

from iot_pipeline.sources.opcua.changes import Item
from iot_pipeline.sources.opcua.config import ServerConfig
from iot_pipeline.sources.opcua.inquiry import chunks
from iot_pipeline.sources.opcua.nodes import Resolved

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 5.0
# Without publish requests, as while the disk is away, the server keeps the subscription for this long.
LIFETIME_SECONDS = 600.0
SILENCE_SECONDS = 10.0
# A text is told again this often while the server publishes: what it says is a state, and a state that nobody has
# told for a minute is not known any more. Shorter than that minute, with room for a publish response in between.
STILL_SECONDS = 30.0
LAST_SEQUENCE = 2**32 - 1
# The node is not there, or not for us: reading it would fail as well.
NODE_ERRORS = frozenset(
    {
        ua.StatusCodes.BadNodeIdUnknown,
        ua.StatusCodes.BadNodeIdInvalid,
        ua.StatusCodes.BadAttributeIdInvalid,
        ua.StatusCodes.BadNotReadable,
        ua.StatusCodes.BadUserAccessDenied,
    }
)
Values = list[tuple[Item, ua.DataValue]]


class Subscription:
    """Changes of the nodes in `resolved`, by subscription where the server allows it and by reading otherwise.

    asyncua's class of this name starts a task for each change and drops what does not fit its queue;
    here the callback waits, no publish request is sent meanwhile, and the server queues.
    """

    def __init__(
        self,
        client: Client,
        config: ServerConfig,
        resolved: Resolved,
        *,
        take: Callable[[Values], Awaitable[None]],
        still: Callable[[Values], Awaitable[None]],
        missed: Callable[[int, int], None],
        ended: Callable[[], None],
    ) -> None:
        """Nothing is asked yet.

        Args:
            client: a connected client.
            config: intervals and queue size.
            resolved: the nodes.
            take: is given changes in order, and may wait.
            still: is given texts that have not changed, with the time at which the server published that.
            missed: is told the expected and the received sequence number when a notification never came.
            ended: is told that the server ended the subscription.
        """
        self._session = client.uaclient.session
        self._config = config
        self._items = resolved.items
        self._limits = resolved.limits
        self._take = take
        self._still = still
        self._missed = missed
        self._ended = ended
        self._id: int | None = None
        self._sequence: int | None = None
        self._blocked = False
        self._allowed_silence = math.inf
        self._last_publish = time.monotonic()
        self._last_polled: dict[Item, tuple[object, ...]] = {}
        self._texts: dict[Item, ua.DataValue] = {}
        self._last_still = time.monotonic()
        self.polled: list[Item] = []
        # Nodes that cannot be collected, and why.
        self.missing: dict[str, str] = dict.fromkeys(resolved.unknown, "its namespace is not on the server")

    async def start(self) -> list[tuple[Item, ua.StatusCode]]:
        """Subscribe; the nodes that the server does not know or does not give to us, with its reason."""
        try:
            await self._create()
        except ua.UaStatusCodeError as error:
            self._poll_instead(self._items, ua.StatusCode(error.code))
            return []
        return await self._monitor(list(enumerate(self._items)))

    async def retry_missing(self) -> None:
        """Ask again for nodes that were missing."""
        if self._id is not None and self.missing:
            await self._monitor([pair for pair in enumerate(self._items) if pair[1].name in self.missing])

    @property
    def silent_seconds(self) -> float | None:
        """For how long the server should have published, at least that it lives, and did not; None: all is well."""
        silent = time.monotonic() - self._last_publish
        return silent if silent > self._allowed_silence and not self._blocked else None

    async def poll(self) -> None:
        """Read what cannot be subscribed, in bulk, and take what differs from the last time."""
        for items in chunks(self.polled, self._limits.read):
            parameters = ua.ReadParameters()
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for item in items:
                wanted = ua.ReadValueId()
                wanted.NodeId = item.node_id
                wanted.AttributeId = ua.AttributeIds.Value
                parameters.NodesToRead.append(wanted)
            changed: Values = []
            for item, value in zip(items, await self._session.read(parameters), strict=True):
                content = None if value.Value is None else value.Value.Value
                seen = (repr(content), value.StatusCode, value.SourceTimestamp)
                if self._last_polled.get(item) != seen:
                    self._last_polled[item] = seen
                    changed.append((item, value))
            if changed:
                await self._take(changed)

    async def _create(self) -> None:
        interval = self._config.publishing_interval_ms / 1000
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = self._config.publishing_interval_ms
        parameters.RequestedMaxKeepAliveCount = max(1, math.ceil(KEEPALIVE_SECONDS / interval))
        parameters.RequestedLifetimeCount = max(10, math.ceil(LIFETIME_SECONDS / interval))
        parameters.MaxNotificationsPerPublish = 0
        parameters.PublishingEnabled = True
        self._last_publish = time.monotonic()
        created = await self._session.create_subscription(parameters, self._published)
        revised = created.RevisedPublishingInterval / 1000 * max(created.RevisedMaxKeepAliveCount, 1)
        self._allowed_silence = revised * 2 + SILENCE_SECONDS
        self._id = int(created.SubscriptionId)

    async def _monitor(self, items: Sequence[tuple[int, Item]]) -> list[tuple[Item, ua.StatusCode]]:
        """Create monitored items whose client handle is the position in `self._items`; those that are missing."""
        absent: list[tuple[Item, ua.StatusCode]] = []
        for part in chunks(items, self._limits.monitor):
            parameters = ua.CreateMonitoredItemsParameters()
            parameters.SubscriptionId = self._id
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ItemsToCreate = [self._request(handle, item) for handle, item in part]
            try:
                results = await self._session.create_monitored_items(parameters)
            except ua.UaStatusCodeError as error:
                self._poll_instead([item for _, item in part], ua.StatusCode(error.code))
                continue
            refused: dict[int, list[Item]] = {}
            for (_, item), result in zip(part, results, strict=True):
                status = result.StatusCode
                self.missing.pop(item.name, None)
                if status.is_bad() and status.value in NODE_ERRORS:
                    self.missing[item.name] = status.name
                    absent.append((item, status))
                elif status.is_bad():
                    refused.setdefault(status.value, []).append(item)
            for code, nodes in refused.items():
                self._poll_instead(nodes, ua.StatusCode(code))
        return absent

    def _request(self, handle: int, item: Item) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = item.node_id
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = handle
        request.RequestedParameters.SamplingInterval = self._config.sampling_interval_ms
        request.RequestedParameters.QueueSize = self._config.queue_size
        request.RequestedParameters.DiscardOldest = True
        return request

    def _poll_instead(self, items: Sequence[Item], status: ua.StatusCode) -> None:
        log.warning(
            "opcua_polling",
            server=self._config.name,
            nodes=len(items),
            reason=f"the server refused to monitor them: {status.name}",
            interval_ms=self._config.publishing_interval_ms,
            outcome="changes between two reads are not seen",
        )
        self.polled += items

    async def _published(self, result: ua.PublishResult) -> None:
        """What the server publishes. While this waits for room, no further publish request is sent."""
        self._last_publish = time.monotonic()
        message = result.NotificationMessage
        if message.NotificationData:
            self._check_sequence(int(message.SequenceNumber))
        values: Values = []
        for notification in message.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                values += [(self._items[told.ClientHandle], told.Value) for told in notification.MonitoredItems]
            elif isinstance(notification, ua.StatusChangeNotification) and notification.Status.is_bad():
                self._ended()
        self._blocked = True
        try:
            if values:
                await self._take(values)
            await self._tell_again(values, message.PublishTime)
        finally:
            self._blocked = False
            self._last_publish = time.monotonic()

    async def _tell_again(self, changed: Values, at: datetime | None) -> None:
        """Hand over the texts that did not change: servers report changes, and this response says there was none."""
        for item, value in changed:
            is_text = value.Value is not None and isinstance(value.Value.Value, str)
            if is_text and (value.StatusCode is None or value.StatusCode.is_good()):
                self._texts[item] = value
            else:
                self._texts.pop(item, None)
        if at is None or time.monotonic() - self._last_still < STILL_SECONDS:
            return
        self._last_still = time.monotonic()
        fresh = {item for item, _ in changed}
        still = [
            (item, ua.DataValue(Value=value.Value, StatusCode=value.StatusCode, ServerTimestamp=at))
            for item, value in self._texts.items()
            if item not in fresh
        ]
        if still:
            await self._still(still)

    def _check_sequence(self, number: int) -> None:
        """See that no notification is missing: the library drops, for instance, what it cannot parse."""
        expected, self._sequence = self._sequence, 1 if number == LAST_SEQUENCE else number + 1
        if expected is not None and expected != number:
            self._missed(expected, number)
