"""The batch being filled: what is in it and when it is due.

Pure bookkeeping; the collector hands a due batch over and acknowledges it once it is landed.
"""

import time
from collections.abc import Iterable
from datetime import datetime

from iot_pipeline.clock import MINUTE, landing_minute
from iot_pipeline.landing.message import Message
from iot_pipeline.settings import Settings
from iot_pipeline.sources.source import Receipt, Received

# A broker stops delivering when its window is used up; landing before that keeps the flow even.
WINDOW_SHARE = 0.8


class Filling:
    """Messages and receipts in order of arrival, and the rules by which they become due."""

    def __init__(self, settings: Settings, leave: str | None = None) -> None:
        """Take the limits of a batch from the settings.

        Of messages whose topic begins with `leave`, and of those on IOT_NOTIFY_TOPIC, only the receipts are kept, in
        their place.
        """
        self.messages: list[Message] = []
        self.receipts: list[Receipt] = []
        self.payload_bytes = 0
        self.left = 0
        self.earliest: datetime | None = None
        self._opened = 0.0
        self._closes: datetime | None = None
        self._settings = settings
        self._leave = leave

    def add(self, arrived: Iterable[Received]) -> None:
        """Append what arrived."""
        leave, notices = self._leave, self._settings.notify_topic
        for message, receipt in arrived:
            if receipt is not None:
                self.receipts.append(receipt)
            if leave is not None and message.topic.startswith(leave):
                self.left += 1
                continue
            # What the product itself tells people is no reading of a device.
            if message.topic == notices:
                continue
            if self.earliest is None:
                self._opened = time.monotonic()
            # Not simply the first one: a clock can be set back.
            if self.earliest is None or message.received_at < self.earliest:
                self.earliest = message.received_at
                delay = self._settings.intake_delay
                self._closes = landing_minute(message.received_at, delay) + MINUTE + delay
            self.messages.append(message)
            self.payload_bytes += len(message.payload)

    @property
    def full(self) -> bool:
        """Whether it holds as much as a batch may; then nothing more is read."""
        return len(self.messages) >= self._settings.batch_rows or self.payload_bytes >= self._settings.batch_bytes

    def due(self, *, unacked: int, window: int | None, now: datetime) -> bool:
        """Whether it should be landed: full, waited long enough, window nearly used up, or its minute is over.

        `window` is what the broker said it leaves unacknowledged, if it said anything.
        """
        if self._closes is None:
            return False
        allowed = min(self._settings.in_flight_window, window or self._settings.in_flight_window)
        return self.full or self.seconds_left() <= 0 or unacked >= WINDOW_SHARE * allowed or now >= self._closes

    def seconds_left(self) -> float:
        """Seconds until the time limit makes it due; the limit itself while it is empty."""
        if self.earliest is None:
            return self._settings.batch_seconds
        return self._opened + self._settings.batch_seconds - time.monotonic()
