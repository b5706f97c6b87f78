"""The readings of event minutes as they count now: of open and sealed days and after the seal, corrected.

Which files these are is `inputs.py`; SQL over all of history for people is `warehouse.py`.
"""

from datetime import datetime

import polars as pl

from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.correcting import current_readings
from iot_pipeline.stats.inputs import COLUMNS, SORTED_READINGS, minute_input_files
from iot_pipeline.stats.session import engine


def read_current(settings: Settings, first: datetime, last: datetime) -> pl.DataFrame:
    """All readings of the event minutes `first` to `last` (UTC), both included, each once and corrected.

    Returns:
        READING_SCHEMA, sorted by device_id, metric, event_ts, unit: the very rows that statistics are built from.
    """
    inputs = minute_input_files(settings.paths, first, last)
    with engine(settings.paths) as connection:
        query = current_readings(connection, settings.paths, inputs).query
        found: pl.DataFrame = connection.sql(f"select {COLUMNS} from ({query}) order by {SORTED_READINGS}").pl()
    # DuckDB calls the zone of the session by its full name.
    found = found.with_columns(pl.col("event_ts", "received_at").dt.convert_time_zone("UTC"))
    return found.cast(pl.Schema(READING_SCHEMA))
