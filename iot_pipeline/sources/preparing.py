"""Making the collector's session at the broker before anything is sent.

A broker keeps messages for a session only after it exists: what devices send before the collector was
connected once is gone. Collecting is `collector.py`'s.
"""

import contextlib
import time
from collections.abc import Iterator

from iot_pipeline.errors import BrokerUnavailable, ConfigurationError
from iot_pipeline.landing.collectors import SourceKind, settings_of
from iot_pipeline.settings import Settings
from iot_pipeline.sources.kinds import make_source
from iot_pipeline.sources.lock import only_collector
from iot_pipeline.sources.source import Source

PATIENCE_SECONDS = 15.0


def prepare_session(settings: Settings, kind: SourceKind = SourceKind.mqtt) -> str:
    """Connect, subscribe and leave; then connect again to see that the broker kept it. The broker's address.

    Messages that are delivered meanwhile are not acknowledged, so that the collector gets them.

    Raises:
        ConfigurationError: this kind has no session, the broker kept none, or a collector with this id runs.
        BrokerUnavailable: no connection, or no subscription, within some seconds.
    """
    if kind is not SourceKind.mqtt:
        raise ConfigurationError(
            f"--init: a source {kind} has no session that a broker could keep; only mqtt has. Just start it."
        )
    own = settings_of(settings, kind)
    with only_collector(own):
        with _connected(own) as source:
            address = source.address
        with _connected(own) as source:
            kept = source.state.session_present
    if not kept:
        raise ConfigurationError(
            f"the broker at {address} forgot the session of {own.collector_id!r} as soon as the connection ended: "
            "what is sent while the collector is away would be lost. Let it keep sessions, or use another one."
        )
    return address


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[Source]:
    source = make_source(settings, SourceKind.mqtt)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not source.state.connected:
            source.poll(0.1)
            if time.monotonic() > deadline:
                reason = source.state.problem or "no answer"
                raise BrokerUnavailable(f"no session was made at {source.address}: {reason}; try again")
        yield source
    finally:
        source.close()
