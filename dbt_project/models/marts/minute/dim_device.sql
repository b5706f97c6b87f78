{#
  Merging is a maximum over (time told, value), for each attribute of each device. So minutes may be
  built again, twice, or in any order, and the newest word of a device still wins.
#}
with sightings as (
    -- A Sparkplug edge node announces itself without measuring anything: it is no device. Nor is the host.
    select * from {{ ref('stg_devices') }}
    where reading_count > 0 or attributes <> '{}' or state in ('online', 'offline')
),

published as (
    select * from {{ source('history', 'published_dim_device') }}
),

told_attributes as (
    select
        sightings.device_id,
        sightings.last_received_at as told_at,
        member.key as attribute,
        cast(member.value as varchar) as attribute_value
    from sightings
    cross join {{ json_members('sightings.attributes') }} as member
    union all
    select
        published.device_id,
        cast({{ json_text('member.value', 'at') }} as timestamptz) as told_at,
        member.key as attribute,
        {{ json_text('member.value', 'value') }} as attribute_value
    from published
    cross join {{ json_members('published.attributes_told') }} as member
),

ranked_attributes as (
    select
        *,
        row_number() over (
            partition by device_id, attribute
            order by told_at desc, attribute_value desc
        ) as recency
    from told_attributes
),

newest_attributes as (
    select
        device_id,
        {{ json_object_of('attribute', 'attribute_value') }} as attributes,
        {{ json_object_of('attribute', json_told('attribute_value', 'told_at')) }} as attributes_told
    from ranked_attributes
    where recency = 1
    group by device_id
),

appearances as (
    select device_id, fleet, first_event_ts as first_seen, last_event_ts as last_seen, last_received_at
    from sightings
    union all
    select device_id, fleet, first_seen, last_seen, last_received_at
    from published
),

states as (
    select device_id, state, state_since, last_received_at as told_at
    from sightings
    where state is not null
    union all
    select device_id, state_told as state, state_told_since as state_since, state_told_at as told_at
    from published
    where state_told is not null
),

newest_states as (
    select
        device_id,
        {{ latest('state', 'told_at') }} as state_told,
        {{ latest('state_since', 'told_at') }} as state_told_since,
        max(told_at) as state_told_at
    from states
    group by device_id
),

-- A node that died while the host was away is not heard of: what was online before is stale until it is born again.
host as (
    select max(connected_at) as connected_at
    from (
        select state_since as connected_at from {{ ref('stg_devices') }}
        where state = 'host'
        union all
        select host_connected_at as connected_at from published
    ) as connections
),

devices as (
    select
        device_id,
        {{ latest('fleet', 'last_received_at') }} as fleet,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen,
        max(last_received_at) as last_received_at
    from appearances
    group by device_id
)

select
    devices.device_id,
    devices.fleet,
    coalesce(newest_attributes.attributes, '{}') as attributes,
    {{ json_text('newest_attributes.attributes', 'type') }} as type,
    {{ json_text('newest_attributes.attributes', 'description') }} as description,
    {{ json_text('newest_attributes.attributes', 'region') }} as region,
    {{ json_text('newest_attributes.attributes', 'customer') }} as customer,
    try_cast({{ json_text('newest_attributes.attributes', 'latitude') }} as double) as latitude,
    try_cast({{ json_text('newest_attributes.attributes', 'longitude') }} as double) as longitude,
    devices.first_seen,
    devices.last_seen,
    devices.last_received_at,
    coalesce(newest_attributes.attributes_told, '{}') as attributes_told,
    case
        when newest_states.state_told = 'online' and newest_states.state_told_at < host.connected_at then 'stale'
        else newest_states.state_told
    end as state,
    case
        when newest_states.state_told = 'online' and newest_states.state_told_at < host.connected_at
            then host.connected_at
        else newest_states.state_told_since
    end as state_since,
    newest_states.state_told,
    newest_states.state_told_since,
    newest_states.state_told_at,
    host.connected_at as host_connected_at
from devices
left join newest_attributes on devices.device_id = newest_attributes.device_id
left join newest_states on devices.device_id = newest_states.device_id
cross join host
