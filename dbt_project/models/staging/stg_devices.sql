with devices as (
    select * from {{ source('raw', 'devices') }}
)

select
    device_id,
    fleet,
    attributes,
    reading_count,
    first_event_ts,
    last_event_ts,
    last_received_at,
    state,
    state_since
from devices
