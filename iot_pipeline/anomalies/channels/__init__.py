"""Devices with several channels: how channels go together, which one leaves the others, and one score a device.

Pure arrays and frames, as in `anomalies/engine`, which looks at single series. No files, no orchestration.
"""

from iot_pipeline.anomalies.channels.ensemble import Channels
from iot_pipeline.anomalies.channels.model import ChannelsModel
from iot_pipeline.anomalies.channels.stacks import grid_of_wide

__all__ = ["Channels", "ChannelsModel", "grid_of_wide"]
