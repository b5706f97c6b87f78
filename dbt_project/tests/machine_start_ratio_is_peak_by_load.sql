-- Identity: the ratio of a start is its peak divided by its load, a peak is no less than the load, and a start begins
-- within the window.
{{ config(
    tags=['day'],
    meta={
        'description': 'The ratio of a start is its peak divided by its load, and it lies within the day.',
        'dagster': {'ref': {'name': 'machine_start'}}
    }
) }}

select
    started_at,
    device_id,
    load_a,
    peak_a,
    peak_ratio
from {{ ref('machine_start') }}
where
    abs(peak_ratio * load_a - peak_a) > 1e-9 * peak_a
    or peak_a < load_a
    or started_at < {{ utc_timestamp(var('min_ts')) }}
    or started_at >= {{ utc_timestamp(var('max_ts')) }}
