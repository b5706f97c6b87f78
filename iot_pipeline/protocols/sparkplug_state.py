"""STATE messages: how Sparkplug hosts say whether they are there. Payloads and topics, nothing else."""

import msgspec

from iot_pipeline.protocols.sparkplug_b import NAMESPACE, SparkplugError


class HostState(msgspec.Struct, frozen=True):
    """Payload of a STATE message: JSON with these two keys. `timestamp` counts ms since 1970 UTC.

    All certificates of one connection carry the time of its CONNECT, but for the death by hand.
    """

    online: bool
    timestamp: int


def state_topic(host_id: str) -> str:
    """Where the host with this id is announced."""
    return f"{NAMESPACE}/STATE/{host_id}"


def encode_state(state: HostState) -> bytes:
    """The payload of a certificate."""
    return msgspec.json.encode(state)


def decode_state(payload: bytes) -> HostState:
    """Inverse of `encode_state`; further keys are passed over. Raises SparkplugError for anything else."""
    try:
        return msgspec.json.decode(payload, type=HostState)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SparkplugError(f"not a STATE payload: {error}") from error
