with meters as (
    select * from {{ ref('meter_day') }}
)

select
    day,
    customer,
    utility,
    unit,
    {{ compensated_sum('usage') }} as usage,
    count(*) as meters,
    cast(sum(readings) as bigint) as readings,
    cast(sum(resets) as bigint) as resets
from meters
group by day, customer, utility, unit
