-- Identity: a month counts what its days count, and a year what its months do, for each device, metric and unit; the
-- days and months of this run with those that were published before.
{{ config(
    tags=['day'],
    meta={
        'description': 'The count of a month is the sum of those of its days, that of a year of those of its months.',
        'dagster': {'ref': {'name': 'device_month'}}
    }
) }}

with parts as (
    {% for period, of, other in [
        ('month', ref('device_day'), source('history', 'published_device_day')),
        ('year', ref('device_month'), source('history', 'published_device_month'))
    ] -%}
    {% set part = 'day' if period == 'month' else 'month' -%}
    select
        '{{ period }}' as period,
        cast(date_trunc('{{ period }}', {{ part }}) as date) as begin_of,
        device_id,
        metric,
        unit,
        count as in_parts,
        0 as in_whole
    from {{ of }}
    union all
    select
        '{{ period }}' as period,
        cast(date_trunc('{{ period }}', {{ part }}) as date) as begin_of,
        device_id,
        metric,
        unit,
        count as in_parts,
        0 as in_whole
    from {{ other }}
    union all
    select
        '{{ period }}' as period,
        {{ period }} as begin_of,
        device_id,
        metric,
        unit,
        0 as in_parts,
        count as in_whole
    from {{ ref('device_' ~ period) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    period,
    begin_of,
    device_id,
    metric,
    unit,
    sum(in_parts) as in_parts,
    sum(in_whole) as in_whole
from parts
group by period, begin_of, device_id, metric, unit
having sum(in_parts) <> sum(in_whole)
