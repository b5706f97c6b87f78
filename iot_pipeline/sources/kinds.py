"""From a kind of source to the one that is connected: the only place that knows all of them.

Each is imported when it is asked for, so that a collector does not carry the clients of the others.
"""

# ruff: noqa: PLC0415 -- see above

from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.settings import Settings
from iot_pipeline.sources.source import Source


def make_source(settings: Settings, kind: SourceKind) -> Source:
    """The source of `kind`, not connected yet. `settings` are those of its collector (`settings_of`).

    Raises:
        ConfigurationError: the settings of this kind cannot be used.
    """
    match kind:
        case SourceKind.mqtt if settings.mqtt_reader == "mqtt5":
            from iot_pipeline.sources.mqtt5 import Mqtt5Source

            return Mqtt5Source(settings)
        case SourceKind.mqtt:
            from iot_pipeline.sources.mqtt import MqttSource

            return MqttSource(settings)
        case SourceKind.sparkplug:
            from iot_pipeline.sources.sparkplug_host import SparkplugHost

            return SparkplugHost(settings)
        case SourceKind.opcua:
            from iot_pipeline.sources.opcua import OpcuaSource

            return OpcuaSource(settings)
