-- Identity: the zones of vibration and the strokes of valves count what the general statistics count.
{{ config(
    tags=['day'],
    meta={
        'description': 'Zones and strokes together count each reading of vibration and of travel time once.',
        'dagster': {'ref': {'name': 'machine_vibration_hour'}}
    }
) }}

with counted as (
    select
        device_id,
        readings_zone_a + readings_zone_b + readings_zone_c + readings_zone_d as counted,
        0 as expected
    from {{ ref('machine_vibration_hour') }}
    union all
    select device_id, strokes as counted, 0 as expected
    from {{ ref('valve_travel_day') }}
    union all
    select device_id, 0 as counted, count as expected
    from {{ ref('device_day') }}
    where (metric = 'v_rms' and unit = 'mm/s') or metric in ('travel_time_open', 'travel_time_close')
)

select
    device_id,
    sum(counted) as counted,
    sum(expected) as expected
from counted
group by device_id
having sum(counted) <> sum(expected)
