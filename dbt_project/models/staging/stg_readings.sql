with readings as (
    select * from {{ source('raw', 'readings') }}
)

select
    device_id,
    metric,
    unit,
    message_id,
    source as connection,
    text as state,
    quality,
    cast(value as double) as reading,
    event_ts,
    received_at
from readings
