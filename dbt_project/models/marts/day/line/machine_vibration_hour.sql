with velocities as (
    select
        date_trunc('hour', event_ts) as hour,
        device_id,
        reading
    from {{ ref('stg_readings') }}
    where {{ in_window() }} and {{ is_number() }} and metric = 'v_rms' and unit = 'mm/s'
),

known_devices as (
    select
        device_id,
        {{ json_text('attributes', 'machine_group') }} as machine_group,
        {{ json_text('attributes', 'support') }} as support
    from {{ source('history', 'published_dim_device') }}
),

zones as (
    select * from {{ ref('vibration_zone') }}
),

classes as (
    -- What a machine does not tell, or tells in other words, is taken for the class with the lowest borders.
    select
        machines.device_id,
        coalesce(told.machine_group, 'group_2') as machine_group,
        coalesce(told.support, 'rigid') as support
    from (select distinct device_id from velocities) as machines
    left join known_devices on machines.device_id = known_devices.device_id
    left join zones as told
        on known_devices.machine_group = told.machine_group and known_devices.support = told.support
),

statistics as (
    select
        velocities.hour,
        velocities.device_id,
        zones.machine_group,
        zones.support,
        count(*) as readings,
        avg(velocities.reading) as mean_mm_s,
        max(velocities.reading) as max_mm_s,
        {{ exact_quantile('velocities.reading', 0.95) }} as p95_mm_s,
        cast(sum(case when velocities.reading < zones.zone_b_from then 1 else 0 end) as bigint) as readings_zone_a,
        cast(sum(
            case
                when velocities.reading >= zones.zone_b_from and velocities.reading < zones.zone_c_from then 1
                else 0
            end
        ) as bigint) as readings_zone_b,
        cast(sum(
            case
                when velocities.reading >= zones.zone_c_from and velocities.reading < zones.zone_d_from then 1
                else 0
            end
        ) as bigint) as readings_zone_c,
        cast(sum(case when velocities.reading >= zones.zone_d_from then 1 else 0 end) as bigint) as readings_zone_d,
        max(zones.zone_b_from) as zone_b_from,
        max(zones.zone_c_from) as zone_c_from,
        max(zones.zone_d_from) as zone_d_from
    from velocities
    inner join classes on velocities.device_id = classes.device_id
    inner join zones on classes.machine_group = zones.machine_group and classes.support = zones.support
    group by velocities.hour, velocities.device_id, zones.machine_group, zones.support
)

select
    hour,
    device_id,
    machine_group,
    support,
    readings,
    mean_mm_s,
    max_mm_s,
    p95_mm_s,
    case
        when p95_mm_s < zone_b_from then 'A'
        when p95_mm_s < zone_c_from then 'B'
        when p95_mm_s < zone_d_from then 'C'
        else 'D'
    end as zone,
    readings_zone_a,
    readings_zone_b,
    readings_zone_c,
    readings_zone_d
from statistics
