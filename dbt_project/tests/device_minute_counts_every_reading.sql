-- Identity: the minutes of the window count each numeric reading of the window that is not bad, once.
{{ config(
    tags=['minute'],
    meta={
        'description': 'The minutes count each numeric reading that is not bad, once.',
        'dagster': {'ref': {'name': 'device_minute'}}
    }
) }}

with expected as (
    select count(*) as readings
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }}
),

counted as (
    select coalesce(sum(count), 0) as readings
    from {{ ref('device_minute') }}
)

select
    expected.readings as expected_readings,
    counted.readings as counted_readings
from expected
cross join counted
where expected.readings <> counted.readings
