{#
  Usage is the difference of successive readings of a register, so that of an hour begins with the last
  reading before it; for the first hour of the window that is what earlier days closed with.

  A register that fell and did not come back was reset or replaced. What was used between the last reading
  before and the first after is unknown then and counts as nothing: taking the new register for usage would
  bill whatever a second-hand meter begins with. One that fell and came back, or rose and came back, was
  misread once: both steps count and cancel out. Whether a fall is final the next reading tells, so a fall at
  the end of a day is left for the next day to judge. A day is judged by its own readings and its opening
  alone: built alone or with others it comes out the same.
#}
with readings as (
    select * from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }} and metric = 'register'
),

told_that_day as (
    select
        day,
        device_id,
        {{ latest('fleet', 'told_at') }} as fleet,
        {{ latest('attributes', 'told_at') }} as attributes
    from {{ ref('stg_device_words') }}
    where fleet = 'utility'
    group by day, device_id
),

known_devices as (
    select * from {{ source('history', 'published_dim_device') }}
),

days_of_devices as (
    select distinct
        cast(event_ts as date) as day,
        device_id
    from readings
),

meters as (
    select
        days_of_devices.day,
        {% for attribute in ['customer', 'kind', 'utility', 'region'] -%}
        coalesce(
            {{ json_text('told_that_day.attributes', attribute) }},
            {{ json_text('known_devices.attributes', attribute) }}
        ) as {{ attribute }},
        {% endfor -%}
        days_of_devices.device_id
    from days_of_devices
    left join told_that_day
        on days_of_devices.day = told_that_day.day and days_of_devices.device_id = told_that_day.device_id
    left join known_devices on days_of_devices.device_id = known_devices.device_id
    where coalesce(told_that_day.fleet, known_devices.fleet) = 'utility'
),

registers as (
    select
        meters.*,
        readings.unit,
        readings.event_ts,
        readings.reading,
        lag(readings.reading) over same_day as previous_today,
        lag(readings.event_ts) over same_day as previous_at_today,
        lag(readings.reading, 2) over same_day as before_previous_today,
        lead(readings.reading) over same_day as next_today
    from readings
    inner join meters on readings.device_id = meters.device_id and cast(readings.event_ts as date) = meters.day
    window same_day as (
        partition by meters.day, readings.device_id, readings.unit
        order by readings.event_ts
    )
),

judged_registers as (
    select * from registers
    where next_today is not null or previous_today is null or reading >= previous_today
),

closed_before as (
    select
        device_id,
        unit,
        max(day) as day,
        {{ latest('closing_register', 'day') }} as closing_register,
        {{ latest('closing_at', 'day') }} as closing_at
    from {{ source('history', 'published_meter_day') }}
    group by device_id, unit
),

closings as (
    select
        day,
        device_id,
        unit,
        {{ latest('reading', 'event_ts') }} as closing_register,
        max(event_ts) as closing_at
    from judged_registers
    group by day, device_id, unit
    union all
    select day, device_id, unit, closing_register, closing_at
    from closed_before
),

openings as (
    select
        day,
        device_id,
        unit,
        lag(closing_register) over (partition by device_id, unit order by day) as opening_register,
        lag(closing_at) over (partition by device_id, unit order by day) as opening_at
    from closings
),

neighbours as (
    select
        judged_registers.*,
        coalesce(judged_registers.previous_today, openings.opening_register) as previous_register,
        coalesce(judged_registers.previous_at_today, openings.opening_at) as previous_at,
        case
            when judged_registers.previous_today is not null
                then coalesce(judged_registers.before_previous_today, openings.opening_register)
        end as before_previous
    from judged_registers
    inner join openings
        on judged_registers.day = openings.day
        and judged_registers.device_id = openings.device_id
        and judged_registers.unit is not distinct from openings.unit
),

steps as (
    select
        *,
        coalesce(
            reading < previous_register
            and coalesce(next_today < previous_register, true)
            and coalesce(reading < before_previous, true),
            false
        ) as is_reset
    from neighbours
)

select
    date_trunc('hour', event_ts) as hour,
    device_id,
    unit,
    max(customer) as customer,
    max(kind) as kind,
    max(utility) as utility,
    max(region) as region,
    count(*) as readings,
    {{ earliest('coalesce(previous_register, reading)', 'event_ts') }} as opening_register,
    {{ earliest('coalesce(previous_at, event_ts)', 'event_ts') }} as opening_at,
    {{ latest('reading', 'event_ts') }} as closing_register,
    max(event_ts) as closing_at,
    {{ compensated_sum('case when is_reset then 0 else reading - coalesce(previous_register, reading) end') }} as usage,
    cast(sum(case when is_reset then 1 else 0 end) as bigint) as resets,
    max({{ seconds_between('coalesce(previous_at, event_ts)', 'event_ts') }}) as longest_gap_seconds
from steps
group by date_trunc('hour', event_ts), device_id, unit
