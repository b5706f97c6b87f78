with words as (
    select * from {{ source('raw', 'device_words') }}
)

select
    day,
    device_id,
    fleet,
    attributes,
    told_at
from words
