with repeats as (
    select * from {{ source('raw', 'device_repeats') }}
)

select
    day,
    device_id,
    repeats
from repeats
