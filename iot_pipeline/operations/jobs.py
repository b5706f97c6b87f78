"""Jobs: which assets run together. When they run is said by sensors and `schedules.py`."""

import dagster as dg

from iot_pipeline.anomalies.assets import FLAGS
from iot_pipeline.readings.assets import DEVICES, QUARANTINE, READINGS
from iot_pipeline.stats.assets import DAY_ASSETS, MINUTE_ASSETS

minute_chain = dg.define_asset_job(
    "minute_chain",
    selection=dg.AssetSelection.assets(READINGS, QUARANTINE, DEVICES, *MINUTE_ASSETS, FLAGS),
    description="Landed messages to readings, statistics and flags, for a range of minutes.",
)
minute_statistics = dg.define_asset_job(
    "minute_statistics",
    selection=dg.AssetSelection.assets(*MINUTE_ASSETS),
    description="Statistics of minutes that late readings touched.",
)
minute_flags = dg.define_asset_job(
    "minute_flags",
    selection=dg.AssetSelection.assets(FLAGS),
    description="Flags of minutes whose look-back holds a minute that changed.",
)
day_chain = dg.define_asset_job(
    "day_chain",
    selection=dg.AssetSelection.assets(*DAY_ASSETS),
    description="Seal days, then hours, days, months and years.",
)
JOBS = [minute_chain, minute_statistics, minute_flags, day_chain]
