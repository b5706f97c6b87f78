{#
  Load is the median of the day's currents that are at least half of their 95th percentile: what the machine draws when
  it works. A start is the first reading at half the load or more after one below it, not more than `longest` seconds
  before. With a reading a second, an inrush of tenths of a second is seen late and low: peaks are lower bounds.
#}
{% set longest = 10 %}
with phase_readings as (
    select
        device_id,
        {% for phase in ['l1', 'l2', 'l3'] -%}
        max(case when metric = 'current_{{ phase }}' then reading end) as {{ phase }},
        {% endfor -%}
        event_ts
    from {{ ref('stg_readings') }}
    where
        {{ in_window() }} and {{ is_number() }}
        and metric in ('current_l1', 'current_l2', 'current_l3') and unit = 'A'
    group by device_id, event_ts
),

instants as (
    select
        device_id,
        cast(event_ts as date) as day,
        event_ts,
        (l1 + l2 + l3) / 3 as mean_current
    from phase_readings
    where l1 is not null and l2 is not null and l3 is not null
),

heavy as (
    select
        device_id,
        day,
        {{ exact_quantile('mean_current', 0.95) }} / 2 as half_of_p95
    from instants
    group by device_id, day
),

loads as (
    select
        instants.device_id,
        instants.day,
        {{ exact_quantile('instants.mean_current', 0.5) }} as load
    from instants
    inner join heavy on instants.device_id = heavy.device_id and instants.day = heavy.day
    where instants.mean_current >= heavy.half_of_p95 and instants.mean_current > 0
    group by instants.device_id, instants.day
),

instants_and_load as (
    select
        instants.*,
        loads.load,
        lag(instants.mean_current) over same_day as previous_current,
        lag(instants.event_ts) over same_day as previous_at
    from instants
    inner join loads on instants.device_id = loads.device_id and instants.day = loads.day
    window same_day as (partition by instants.device_id, instants.day order by instants.event_ts)
),

marked as (
    select
        *,
        mean_current >= load / 2
        and previous_current < load / 2
        and {{ seconds_between('previous_at', 'event_ts') }} <= {{ longest }} as is_start
    from instants_and_load
),

since_start as (
    select
        *,
        max(case when is_start then event_ts end) over (
            partition by device_id, day order by event_ts rows between unbounded preceding and current row
        ) as started_at
    from marked
),

starts as (
    select
        started_at,
        device_id,
        max(load) as load_a,
        max(mean_current) as peak_a,
        min(case when mean_current <= 1.2 * load then event_ts end) as settled_at
    from since_start
    where {{ seconds_between('started_at', 'event_ts') }} <= {{ longest }}
    group by started_at, device_id
)

select
    started_at,
    device_id,
    load_a,
    peak_a,
    peak_a / load_a as peak_ratio,
    {{ seconds_between('started_at', 'settled_at') }} as inrush_seconds
from starts
