"""Which reports there are, by name, in the order in which they are listed. A new one is a file and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from iot_pipeline.serving.reports import (
    anomalies,
    country_usage,
    customer_usage,
    ice_plant,
    line_currents,
    line_starts,
    line_states,
    line_valves,
    line_vibration,
    states_messages,
    states_sensors,
    states_temperature,
    states_total,
    states_windows,
    usage_corrections,
    weather_by_day,
    weather_count,
    weather_maximum,
)
from iot_pipeline.serving.reports.report import Report

REPORTS: Mapping[str, Report] = MappingProxyType(
    {
        module.REPORT.name: module.REPORT
        for module in (
            ice_plant,
            weather_maximum,
            weather_count,
            weather_by_day,
            anomalies,
            customer_usage,
            country_usage,
            usage_corrections,
            line_currents,
            line_starts,
            line_vibration,
            line_states,
            line_valves,
            states_temperature,
            states_messages,
            states_sensors,
            states_total,
            states_windows,
        )
    }
)
