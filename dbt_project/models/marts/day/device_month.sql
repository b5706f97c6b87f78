with built_days as (
    select * from {{ ref('device_day') }}
),

published_days as (
    select * from {{ source('history', 'published_device_day') }}
),

all_days as (
    select day, device_id, metric, unit, count, min, max, mean, stddev, first, last
    from built_days
    union all
    select day, device_id, metric, unit, count, min, max, mean, stddev, first, last
    from published_days
),

days_with_month as (
    select
        *,
        cast(date_trunc('month', day) as date) as month
    from all_days
),

days_about_the_mean as (
    select
        *,
        {{ common_mean('month') | indent(8) }}
    from days_with_month
),

statistics as (
    select
        month,
        device_id,
        metric,
        unit,
        {{ combined_statistics('day') | indent(8) }}
    from days_about_the_mean
    group by month, device_id, metric, unit
)

select * from statistics
