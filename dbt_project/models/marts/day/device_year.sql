with built_months as (
    select * from {{ ref('device_month') }}
),

published_months as (
    select * from {{ source('history', 'published_device_month') }}
),

all_months as (
    select month, device_id, metric, unit, count, min, max, mean, stddev, first, last
    from built_months
    union all
    select month, device_id, metric, unit, count, min, max, mean, stddev, first, last
    from published_months
),

months_with_year as (
    select
        *,
        cast(date_trunc('year', month) as date) as year
    from all_months
),

months_about_the_mean as (
    select
        *,
        {{ common_mean('year') | indent(8) }}
    from months_with_year
),

statistics as (
    select
        year,
        device_id,
        metric,
        unit,
        {{ combined_statistics('month') | indent(8) }}
    from months_about_the_mean
    group by year, device_id, metric, unit
)

select * from statistics
