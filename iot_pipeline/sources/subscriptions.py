"""Which topic filters a collector's persistent session holds at the broker.

A session keeps its old subscriptions when the settings change, and MQTT has no way to ask for them:
without this memory a filter taken out of IOT_TOPICS would be delivered for ever.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DataPaths

log = structlog.get_logger(__name__)


class Subscriptions:
    """The filters of the last successful subscription of one collector at one broker."""

    def __init__(self, paths: DataPaths, collector: str) -> None:
        """Read what an earlier process remembered; nothing, when there was none."""
        self._file: Path = paths.state / f"subscriptions-{collector}.json"
        try:
            self._known: list[str] = msgspec.json.decode(self._file.read_bytes(), type=list[str])
        except (OSError, ValueError):
            self._known = []

    def outdated(self, wanted: Sequence[str]) -> list[str]:
        """Filters that the session may still hold although nobody wants them any more."""
        return [topic for topic in self._known if topic not in wanted]

    def remember(self, filters: Sequence[str]) -> None:
        """The session now holds these. When that cannot be written, it is logged and left for next time."""
        if list(filters) == self._known:
            return
        try:
            write_bytes(msgspec.json.encode(list(filters)), self._file)
        except StorageUnavailable as error:
            log.warning("subscriptions_not_remembered", reason=str(error))
        else:
            self._known = list(filters)
