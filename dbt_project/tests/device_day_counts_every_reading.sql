-- Identity: a day counts each of its numeric readings that are not bad, once.
{{ config(
    tags=['day'],
    meta={
        'description': 'The day counts each of its numeric readings that are not bad, once.',
        'dagster': {'ref': {'name': 'device_day'}}
    }
) }}

with expected as (
    select
        cast(event_ts as date) as day,
        count(*) as readings
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }}
    group by 1
),

counted as (
    select
        day,
        sum(count) as readings
    from {{ ref('device_day') }}
    group by 1
)

select
    day,
    expected.readings as expected_readings,
    counted.readings as counted_readings
from expected
full outer join counted using (day)
where coalesce(expected.readings, 0) <> coalesce(counted.readings, 0)
