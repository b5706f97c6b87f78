-- Identity: the usage of all customers = of all regions = of all meters, in hours and in days, for each unit.
-- Each figure is a compensated sum and so off by one rounding at most; what is left is their own eight roundings.
{{ config(
    tags=['day'],
    meta={
        'description': 'Usage of all customers, of all regions and of all meters is the same, in hours and in days.',
        'dagster': {'ref': {'name': 'customer_usage_day'}}
    }
) }}

with figures as (
    {% for model, time in [
        ('meter_hour', 'hour'), ('meter_day', 'day'),
        ('customer_usage_hour', 'hour'), ('customer_usage_day', 'day'),
        ('region_usage_hour', 'hour'), ('region_usage_day', 'day'),
        ('usage_correction_day', 'day')
    ] -%}
    select '{{ model }}' as counted_in, cast({{ time }} as date) as day, unit, usage
    from {{ ref(model) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

sums as (
    select
        counted_in,
        day,
        unit,
        {{ compensated_sum('usage') }} as usage,
        {{ compensated_sum('abs(usage)') }} as magnitude
    from figures
    group by counted_in, day, unit
)

select
    day,
    unit,
    min(usage) as smallest,
    max(usage) as largest,
    count(*) as models
from sums
group by day, unit
having max(usage) - min(usage) > 8 * 2.220446049250313e-16 * max(magnitude) or count(*) <> 7
