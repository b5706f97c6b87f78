with hours as (
    select
        *,
        cast(hour as date) as day
    from {{ ref('meter_hour') }}
)

select
    day,
    device_id,
    unit,
    max(customer) as customer,
    max(kind) as kind,
    max(utility) as utility,
    max(region) as region,
    cast(sum(readings) as bigint) as readings,
    {{ earliest('opening_register', 'hour') }} as opening_register,
    {{ earliest('opening_at', 'hour') }} as opening_at,
    {{ latest('closing_register', 'hour') }} as closing_register,
    max(closing_at) as closing_at,
    {{ compensated_sum('usage') }} as usage,
    cast(sum(resets) as bigint) as resets,
    max(longest_gap_seconds) as longest_gap_seconds
from hours
group by day, device_id, unit
