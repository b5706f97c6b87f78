-- Identity: without a reset, the usage of a meter's day is its last reading less the last one of before, and the
-- closing register is a reading. A difference of registers is off by one rounding of the larger at most.
{{ config(
    tags=['day'],
    meta={
        'description': 'Without a reset, usage is the closing less the opening register, and closing is what was read last.',
        'dagster': {'ref': {'name': 'meter_day'}}
    }
) }}

with last_readings as (
    select
        cast(event_ts as date) as day,
        device_id,
        unit,
        event_ts,
        reading,
        max(abs(reading)) over (partition by cast(event_ts as date), device_id, unit) as largest
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }} and metric = 'register'
)

select
    meters.day,
    meters.device_id,
    meters.unit,
    meters.usage,
    meters.closing_register,
    meters.opening_register
from {{ ref('meter_day') }} as meters
left join last_readings
    on meters.day = last_readings.day
    and meters.device_id = last_readings.device_id
    and meters.unit is not distinct from last_readings.unit
    and meters.closing_at = last_readings.event_ts
    and meters.closing_register = last_readings.reading
where
    last_readings.device_id is null
    or (
        meters.resets = 0
        and abs(meters.usage - (meters.closing_register - meters.opening_register))
        > 1e-12 * greatest(last_readings.largest, abs(meters.opening_register))
    )
