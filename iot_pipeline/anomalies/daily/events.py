"""The events of a day whose flags changed as a whole. How flags become events is `anomalies/events`."""

from datetime import date

from iot_pipeline.anomalies.events.store import EventReport, update_events
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import newest_in
from iot_pipeline.stats.relations import flags_tree


def tell_day(settings: Settings, day: date) -> EventReport | None:
    """Bring the events up to date with all flags of `day` (UTC).

    None where retention removed the flags of its minutes: without them its events would be others, so those that were
    made stay.

    Raises:
        StorageUnavailable: events are as before.
    """
    since = kept_since(settings.paths, Level.MINUTE)
    if since is not None and day < since:
        return None
    begin = day_start(day)
    return update_events(settings, begin, begin + DAY - MINUTE, front=newest_in(flags_tree(settings.paths)))
