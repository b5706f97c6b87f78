with strokes as (
    select
        cast(event_ts as date) as day,
        device_id,
        replace(metric, 'travel_time_', '') as direction,
        unit,
        event_ts,
        reading,
        {{ seconds_between("date_trunc('day', event_ts)", 'event_ts') }} / 86400 as day_share
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }} and metric in ('travel_time_open', 'travel_time_close')
)

select
    day,
    device_id,
    direction,
    unit,
    count(*) as strokes,
    avg(reading) as mean,
    {{ sample_stddev('reading') }} as stddev,
    min(reading) as min,
    max(reading) as max,
    {{ exact_quantile('reading', 0.5) }} as p50,
    {{ exact_quantile('reading', 0.95) }} as p95,
    case when count(*) > 2 then regr_slope(reading, day_share) end as slope_per_day
from strokes
group by day, device_id, direction, unit
