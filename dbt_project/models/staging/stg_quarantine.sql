with quarantine as (
    select * from {{ source('raw', 'quarantine') }}
)

select
    day,
    device_id,
    message_id
from quarantine
