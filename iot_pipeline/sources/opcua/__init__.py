"""OPC UA servers as a source: sessions, subscriptions, history, certificates; `OpcuaSource` is the door.

What the landed batches mean is in `iot_pipeline/mappings/opcua.yaml`, what is promised in docs/opcua.md.
"""

from iot_pipeline.sources.opcua.source import OpcuaSource

__all__ = ["OpcuaSource"]
