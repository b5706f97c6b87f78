-- Identity: the devices of a day together count each of its readings, each message that could not be read and each
-- repetition once, and nobody lacks more than was expected of it.
{{ config(
    tags=['day'],
    meta={
        'description': 'Devices together count each reading, unread message and repetition once, and lack no more than was expected.',
        'dagster': {'ref': {'name': 'device_slo'}}
    }
) }}

with told as (
    select
        cast(event_ts as date) as day,
        count(*) as readings,
        0 as quarantined,
        0 as duplicates
    from {{ ref('stg_readings') }}
    where {{ in_window() }}
    group by cast(event_ts as date)
    union all
    select
        day,
        0 as readings,
        count(distinct message_id) as quarantined,
        0 as duplicates
    from {{ ref('stg_quarantine') }}
    group by day
    union all
    select
        day,
        0 as readings,
        0 as quarantined,
        sum(repeats) as duplicates
    from {{ ref('stg_device_repeats') }}
    group by day
),

expected as (
    select
        day,
        sum(readings) as readings,
        sum(quarantined) as quarantined,
        sum(duplicates) as duplicates
    from told
    group by day
),

counted as (
    select
        day,
        sum(readings) as readings,
        sum(quarantined) as quarantined,
        sum(duplicates) as duplicates,
        sum(case when missing > expected or missing < 0 then 1 else 0 end) as impossible
    from {{ ref('device_slo') }}
    group by day
)

select
    day,
    expected.readings as expected_readings,
    counted.readings as counted_readings,
    expected.quarantined as expected_quarantined,
    counted.quarantined as counted_quarantined,
    expected.duplicates as expected_duplicates,
    counted.duplicates as counted_duplicates,
    counted.impossible
from expected
full outer join counted using (day)
where
    coalesce(expected.readings, 0) <> coalesce(counted.readings, 0)
    or coalesce(expected.quarantined, 0) <> coalesce(counted.quarantined, 0)
    or coalesce(expected.duplicates, 0) <> coalesce(counted.duplicates, 0)
    or counted.impossible > 0
