"""Which collectors there are: one process, and one id, for each kind of source that the settings ask for.

Only their names; connecting belongs to `sources`, starting them to `operations`. The id names a
collector's files in landing, its ledger, its heartbeat and its connection.
"""

from enum import StrEnum

from iot_pipeline.settings import Settings

SPARKPLUG_TOPICS = "spBv1.0/"
"""What the Sparkplug host lands and the MQTT collector leaves to it: everything below this namespace."""


class SourceKind(StrEnum):
    """A kind of connection; each has a collector of its own, so that none can hold up another."""

    mqtt = "mqtt"
    """Topic filters at the broker, QoS 1, persistent session."""
    sparkplug = "sparkplug"
    """A Sparkplug B Host Application at the same broker, clean session as its specification asks."""
    opcua = "opcua"
    """Subscriptions at OPC UA servers."""


def configured_kinds(settings: Settings) -> tuple[SourceKind, ...]:
    """The kinds that the settings ask for, in the order in which their collectors start."""
    wanted = {
        SourceKind.mqtt: True,
        SourceKind.sparkplug: bool(settings.sparkplug_host_id),
        SourceKind.opcua: settings.opcua is not None,
    }
    return tuple(kind for kind, on in wanted.items() if on)


def collector_id(settings: Settings, kind: SourceKind) -> str:
    """The id of the collector of `kind`: IOT_COLLECTOR_ID, followed by the kind unless that is `mqtt`."""
    return settings.collector_id if kind is SourceKind.mqtt else f"{settings.collector_id}-{kind}"


def settings_of(settings: Settings, kind: SourceKind) -> Settings:
    """The settings as the collector of `kind` works with them: `collector_id` is its own."""
    return settings.model_copy(update={"collector_id": collector_id(settings, kind)})
