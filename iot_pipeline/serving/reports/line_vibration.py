"""Vibration severity of machines by the zones of ISO 10816-3."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, Column, Query, Report

_SHAPE = """
select
    cast({time} as timestamptz) as time,
    device_id as machine,
    round(sum(mean_mm_s * readings) / sum(readings), 3) as mean,
    round(max(p95_mm_s), 3) as p95,
    round(max(max_mm_s), 3) as maximum,
    max(zone) as zone,
    round(100 * sum(readings_zone_a) / sum(readings), 2) as zone_a,
    round(100 * sum(readings_zone_b) / sum(readings), 2) as zone_b,
    round(100 * sum(readings_zone_c) / sum(readings), 2) as zone_c,
    round(100 * sum(readings_zone_d) / sum(readings), 2) as zone_d,
    machine_group || ', ' || support as class
from machine_vibration_hour
where
    hour >= $begin and hour < $end
    and ($device is null or device_id = $device)
group by {time}, device_id, machine_group, support
order by time, machine
"""

REPORT = Report(
    name="line-vibration",
    title="Line: vibration severity",
    question="How much does a machine vibrate, and in which zone of ISO 10816-3 is that?",
    columns=(
        Column("time", "begin of the hour or day, UTC"),
        Column("machine", "the machine"),
        Column("mean", "mean velocity", "mm/s rms"),
        Column("p95", "95th percentile of the velocity of an hour; of a day, the largest of its hours", "mm/s rms"),
        Column("maximum", "largest velocity", "mm/s rms"),
        Column("zone", "zone of p95: A new, B unrestricted, C not for long, D damaging"),
        Column("zone_a", "share of readings in zone A", "%"),
        Column("zone_b", "share of readings in zone B", "%"),
        Column("zone_c", "share of readings in zone C", "%"),
        Column("zone_d", "share of readings in zone D", "%"),
        Column("class", "group and support of the machine by which the zones are taken"),
    ),
    parameters=(DEVICE,),
    queries={
        "hour": Query(_SHAPE.format(time="hour"), ("machine_vibration_hour",), DAY, 62 * DAY),
        "day": Query(_SHAPE.format(time="date_trunc('day', hour)"), ("machine_vibration_hour",), 30 * DAY, 366 * DAY),
    },
)
