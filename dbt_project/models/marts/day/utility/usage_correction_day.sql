{#
  What somebody who added up minutes would have said: differences of the last register of successive minutes,
  a fall counting as nothing. Read as the minutes stand when the day is built.
#}
with meters as (
    select * from {{ ref('meter_day') }}
),

minutes as (
    select
        cast(minute as date) as day,
        device_id,
        unit,
        minute,
        last,
        lag(last) over (partition by cast(minute as date), device_id, unit order by minute) as previous_last
    from {{ source('history', 'published_device_minute') }}
    where metric = 'register'
),

minute_figures as (
    select
        meters.day,
        meters.device_id,
        meters.unit,
        count(*) as minutes,
        {{ compensated_sum(
            'greatest(minutes.last - coalesce(minutes.previous_last, meters.opening_register), 0)'
        ) }} as minute_usage
    from minutes
    inner join meters
        on minutes.day = meters.day
        and minutes.device_id = meters.device_id
        and minutes.unit is not distinct from meters.unit
    group by meters.day, meters.device_id, meters.unit
),

both_figures as (
    select
        meters.day,
        meters.customer,
        meters.utility,
        meters.unit,
        {{ compensated_sum('meters.usage') }} as usage,
        {{ compensated_sum('coalesce(minute_figures.minute_usage, 0)') }} as minute_usage,
        cast(sum(coalesce(minute_figures.minutes, 0)) as bigint) as minutes
    from meters
    left join minute_figures
        on meters.day = minute_figures.day
        and meters.device_id = minute_figures.device_id
        and meters.unit is not distinct from minute_figures.unit
    group by meters.day, meters.customer, meters.utility, meters.unit
)

select
    day,
    customer,
    utility,
    unit,
    usage,
    minute_usage,
    usage - minute_usage as difference,
    minutes
from both_figures
