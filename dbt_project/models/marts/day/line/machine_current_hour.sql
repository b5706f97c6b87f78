{#
  Integrals by the trapezoidal rule between successive readings of a phase; over more than `longest` seconds
  nothing is assumed, and coverage says so. A stretch across the border of an hour is divided there; the one across
  midnight is left out, so that a day comes out the same whatever is built with it.
#}
{% set longest = 10 %}
{% set phases = ['l1', 'l2', 'l3'] %}
with phase_readings as (
    select
        device_id,
        metric,
        event_ts,
        reading,
        lag(event_ts) over same_day as previous_at,
        lag(reading) over same_day as previous_reading
    from {{ ref('stg_readings') }}
    where
        {{ in_window() }} and {{ is_number() }}
        and metric in ('current_l1', 'current_l2', 'current_l3') and unit = 'A'
    window same_day as (partition by device_id, metric, cast(event_ts as date) order by event_ts)
),

stretches as (
    select
        device_id,
        metric,
        previous_at as begins,
        event_ts as ends,
        previous_reading as begins_with,
        reading as ends_with,
        date_trunc('hour', event_ts) as border,
        {{ seconds_between('previous_at', 'event_ts') }} as seconds
    from phase_readings
    where previous_at is not null and {{ seconds_between('previous_at', 'event_ts') }} <= {{ longest }}
),

stretches_at_border as (
    select
        *,
        begins < border as is_divided,
        begins_with + (ends_with - begins_with) * {{ seconds_between('begins', 'border') }} / seconds as at_border
    from stretches
),

pieces as (
    select
        date_trunc('hour', begins) as hour,
        device_id,
        metric,
        case when is_divided then {{ seconds_between('begins', 'border') }} else seconds end as seconds,
        (begins_with + case when is_divided then at_border else ends_with end) / 2 as mean_current
    from stretches_at_border
    union all
    select
        border as hour,
        device_id,
        metric,
        {{ seconds_between('border', 'ends') }} as seconds,
        (at_border + ends_with) / 2 as mean_current
    from stretches_at_border
    where is_divided
),

integrals as (
    select
        hour,
        {% for phase in phases -%}
        sum(case when metric = 'current_{{ phase }}' then mean_current * seconds end) / 3600 as charge_{{ phase }}_ah,
        sum(case when metric = 'current_{{ phase }}' then seconds end) as covered_{{ phase }}_seconds,
        {% endfor -%}
        device_id
    from pieces
    group by hour, device_id
),

instants as (
    select
        device_id,
        {% for phase in phases -%}
        max(case when metric = 'current_{{ phase }}' then reading end) as {{ phase }},
        {% endfor -%}
        event_ts
    from phase_readings
    group by device_id, event_ts
),

minutes as (
    select
        date_trunc('minute', event_ts) as minute,
        device_id,
        count(*) as instants,
        max(greatest(l1, l2, l3)) as peak,
        {% for phase in phases -%}
        avg({{ phase }}) as {{ phase }},
        {% endfor -%}
        avg(l1 + l2 + l3) / 3 as mean_current
    from instants
    where l1 is not null and l2 is not null and l3 is not null
    group by date_trunc('minute', event_ts), device_id
),

minutes_with_unbalance as (
    select
        *,
        date_trunc('hour', minute) as hour,
        max(mean_current) over (partition by date_trunc('hour', minute), device_id) as heaviest,
        {{ nema_unbalance('l1', 'l2', 'l3') }} as unbalance_percent
    from minutes
),

means as (
    select
        hour,
        device_id,
        cast(sum(instants) as bigint) as instants,
        max(peak) as peak_a,
        {% for phase in phases -%}
        sum({{ phase }} * instants) / sum(instants) as {{ phase }},
        {% endfor -%}
        -- Of a machine at rest it is noise.
        max(case when mean_current >= 0.2 * heaviest then unbalance_percent end) as unbalance_worst_minute_percent
    from minutes_with_unbalance
    group by hour, device_id
)

select
    integrals.hour,
    integrals.device_id,
    {% for phase in phases -%}
    integrals.charge_{{ phase }}_ah,
    coalesce(integrals.covered_{{ phase }}_seconds, 0) as covered_{{ phase }}_seconds,
    {% endfor -%}
    coalesce(means.instants, 0) as instants,
    means.peak_a,
    {{ nema_unbalance('means.l1', 'means.l2', 'means.l3') }} as unbalance_percent,
    means.unbalance_worst_minute_percent
from integrals
left join means on integrals.hour = means.hour and integrals.device_id = means.device_id
