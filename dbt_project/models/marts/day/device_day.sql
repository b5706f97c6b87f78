with readings as (
    select * from {{ ref('stg_readings') }}
),

numeric_readings as (
    select
        cast(event_ts as date) as day,
        device_id,
        metric,
        unit,
        event_ts,
        reading
    from readings
    where {{ in_window() }} and {{ is_number() }}
),

statistics as (
    select
        day,
        device_id,
        metric,
        unit,
        {{ reading_statistics() | indent(8) }}
    from numeric_readings
    group by day, device_id, metric, unit
)

select * from statistics
