-- Identity: count(day) = sum of count(hour), for each device, metric and unit.
{{ config(
    tags=['day'],
    meta={
        'description': 'The count of a day is the sum of the counts of its hours, for each device, metric and unit.',
        'dagster': {'ref': {'name': 'device_day'}}
    }
) }}

with parts as (
    select cast(hour as date) as day, device_id, metric, unit, count as in_hours, 0 as in_day
    from {{ ref('device_hour') }}
    union all
    select day, device_id, metric, unit, 0 as in_hours, count as in_day
    from {{ ref('device_day') }}
)

select
    day,
    device_id,
    metric,
    unit,
    sum(in_hours) as in_hours,
    sum(in_day) as in_day
from parts
group by day, device_id, metric, unit
having sum(in_hours) <> sum(in_day)
