{#
  A state holds until the next one is told, at most `longest` seconds: a machine that went silent is in no state that
  anybody knows. It ends at midnight, so that a day comes out the same whatever is built with it.
#}
{% set longest = 60 %}
with told_states as (
    select
        device_id,
        state,
        event_ts,
        lag(state) over same_day as previous_state,
        least(
            coalesce(lead(event_ts) over same_day, {{ seconds_later('event_ts', longest) }}),
            {{ seconds_later('event_ts', longest) }},
            {{ seconds_later("date_trunc('day', event_ts)", 86400) }}
        ) as held_until
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and quality <> 'bad' and metric = 'state' and state is not null and reading is null
    window same_day as (partition by device_id, cast(event_ts as date) order by event_ts)
),

states_at_border as (
    select
        *,
        {{ seconds_later("date_trunc('hour', event_ts)", 3600) }} as border,
        case when previous_state <> state then 1 else 0 end as entered
    from told_states
),

pieces as (
    select
        date_trunc('hour', event_ts) as hour,
        device_id,
        state,
        {{ seconds_between('event_ts', 'least(held_until, border)') }} as seconds,
        entered
    from states_at_border
    union all
    select
        border as hour,
        device_id,
        state,
        {{ seconds_between('border', 'held_until') }} as seconds,
        0 as entered
    from states_at_border
    where held_until > border
)

select
    hour,
    device_id,
    state,
    sum(seconds) as seconds,
    cast(sum(entered) as bigint) as entries
from pieces
group by hour, device_id, state
