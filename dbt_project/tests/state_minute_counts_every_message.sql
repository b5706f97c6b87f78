-- Identity: the states of a minute count each temperature of a sensor that tells its state, once.
{{ config(
    tags=['minute'],
    meta={
        'description': 'The states of the minutes count each temperature of a sensor with a state once.',
        'dagster': {'ref': {'name': 'state_minute'}}
    }
) }}

with expected as (
    select coalesce(sum(minutes.count), 0) as messages
    from {{ ref('device_minute') }} as minutes
    inner join {{ ref('dim_device') }} as sensors on minutes.device_id = sensors.device_id
    where
        minutes.metric = 'temperature' and sensors.fleet = 'us_states'
        and {{ json_text('sensors.attributes', 'state') }} is not null
),

counted as (
    select coalesce(sum(messages), 0) as messages
    from {{ ref('state_minute') }}
)

select
    expected.messages as expected_messages,
    counted.messages as counted_messages
from expected
cross join counted
where expected.messages <> counted.messages
