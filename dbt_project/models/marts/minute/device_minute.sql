with readings as (
    select * from {{ ref('stg_readings') }}
),

numeric_readings as (
    select
        date_trunc('minute', event_ts) as minute,
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
        minute,
        device_id,
        metric,
        unit,
        {{ reading_statistics() | indent(8) }}
    from numeric_readings
    group by minute, device_id, metric, unit
)

select * from statistics
