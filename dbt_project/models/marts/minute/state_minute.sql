with minutes as (
    select * from {{ ref('device_minute') }}
    where metric = 'temperature'
),

sensors as (
    select
        device_id,
        {{ json_text('attributes', 'state') }} as state
    from {{ ref('dim_device') }}
    where fleet = 'us_states'
)

select
    minutes.minute,
    sensors.state,
    minutes.unit,
    count(*) as sensors,
    cast(sum(minutes.count) as bigint) as messages,
    sum(minutes.mean * minutes.count) / sum(minutes.count) as mean,
    min(minutes.min) as min,
    max(minutes.max) as max
from minutes
inner join sensors on minutes.device_id = sensors.device_id
where sensors.state is not null
group by minutes.minute, sensors.state, minutes.unit
