{#
  How each series kept its own pace. A series is regular when at least `least` of its intervals are known and three
  quarters of them last between a half and one and a half of their median; the others tell when something happens, and
  nobody can say what is missing.
#}
{% set least = 10 %}
{% set regular_share = 0.75 %}
{# Intervals of a gap: at least two readings in a row are missing. #}
{% set gap = 2.5 %}
{% set flat_minutes = 10 %}
with readings as (
    select
        cast(event_ts as date) as day,
        device_id,
        metric,
        unit,
        quality,
        reading,
        {{ microseconds('event_ts') }} as event_us,
        {{ microseconds('received_at') }} as received_us
    from {{ ref('stg_readings') }}
    where {{ in_window() }}
),

devices as (
    select
        device_id,
        fleet,
        {{ microseconds('first_seen') }} as first_seen_us
    from {{ source('history', 'published_dim_device') }}
),

series as (
    select
        day,
        device_id,
        metric,
        unit,
        count(*) as readings,
        sum(case when quality = 'bad' then 1 else 0 end) as bad,
        case when count(reading) > 1 and min(reading) = max(reading) then 1 else 0 end as constant,
        min(event_us) as first_us,
        max(event_us) as last_us,
        {{ sorted_list('event_us') }} as instants
    from readings
    group by day, device_id, metric, unit
),

neighbours as (
    select
        day,
        device_id,
        metric,
        unit,
        {{ neighbours('instants') }}
    from series
),

intervals as (
    select
        day,
        device_id,
        metric,
        unit,
        end_us - begin_us as length_us
    from neighbours
    where end_us is not null
),

usual_intervals as (
    select
        day,
        device_id,
        metric,
        unit,
        {{ exact_quantile('length_us', 0.5) }} as usual_us
    from intervals
    group by day, device_id, metric, unit
    having count(*) >= {{ least }}
),

paces as (
    select
        usual.day,
        usual.device_id,
        usual.metric,
        usual.unit,
        usual.usual_us,
        sum({{ missing_in('intervals.length_us', 'usual.usual_us') }}) as missing,
        sum(case when intervals.length_us > {{ gap }} * usual.usual_us then 1 else 0 end) as gaps,
        max(intervals.length_us) as longest_us
    from usual_intervals as usual
    inner join intervals
        on usual.day = intervals.day
        and usual.device_id = intervals.device_id
        and usual.metric = intervals.metric
        and usual.unit is not distinct from intervals.unit
    group by usual.day, usual.device_id, usual.metric, usual.unit, usual.usual_us
    having
        sum(
            case when intervals.length_us between 0.5 * usual.usual_us and 1.5 * usual.usual_us then 1 else 0 end
        ) >= {{ regular_share }} * count(*)
),

-- The day is expected from its begin, or from when the device was first heard at all, to its end, or until now.
regular_series as (
    select
        paces.day,
        paces.device_id,
        paces.metric,
        paces.unit,
        paces.usual_us,
        paces.missing,
        paces.gaps,
        paces.longest_us,
        greatest(
            series.first_us - greatest(
                {{ microseconds('cast(paces.day as timestamp)') }}, coalesce(devices.first_seen_us, series.first_us)
            ), 0
        ) as before_us,
        greatest(
            least(
                {{ microseconds('cast(paces.day as timestamp)') }} + 86400000000,
                {{ microseconds(utc_timestamp(var('seen_until'))) }}
            ) - series.last_us, 0
        ) as after_us
    from paces
    inner join series
        on paces.day = series.day
        and paces.device_id = series.device_id
        and paces.metric = series.metric
        and paces.unit is not distinct from series.unit
    left join devices on paces.device_id = devices.device_id
),

silences as (
    select
        day,
        device_id,
        metric,
        unit,
        usual_us,
        missing + {{ missing_in('before_us', 'usual_us') }} + {{ missing_in('after_us', 'usual_us') }} as missing,
        gaps
        + case when before_us > {{ gap }} * usual_us then 1 else 0 end
        + case when after_us > {{ gap }} * usual_us then 1 else 0 end as gaps,
        greatest(
            case when gaps > 0 then longest_us else 0 end,
            case when before_us > {{ gap }} * usual_us then before_us else 0 end,
            case when after_us > {{ gap }} * usual_us then after_us else 0 end
        ) as longest_us
    from regular_series
),

flat_minutes as (
    select
        day,
        device_id,
        metric,
        unit,
        min(reading) as held,
        (event_us - event_us % 60000000) / 60000000 as minute_number
    from readings
    where reading is not null
    group by day, device_id, metric, unit, event_us - event_us % 60000000
    having min(reading) = max(reading)
),

-- Minutes in a row with the same value keep their distance to their rank.
flat_stretches as (
    select
        day,
        device_id,
        metric,
        unit,
        count(*) as minutes
    from (
        select
            *,
            minute_number - row_number() over (
                partition by day, device_id, metric, unit, held order by minute_number
            ) as stretch
        from flat_minutes
    ) as numbered
    group by day, device_id, metric, unit, held, stretch
    having count(*) >= {{ flat_minutes }}
),

flat_series as (
    select
        flat.day,
        flat.device_id,
        flat.metric,
        flat.unit,
        sum(flat.minutes) as minutes
    from flat_stretches as flat
    inner join series
        on flat.day = series.day
        and flat.device_id = series.device_id
        and flat.metric = series.metric
        and flat.unit is not distinct from series.unit
        and series.constant = 0
    group by flat.day, flat.device_id, flat.metric, flat.unit
)

select
    series.day,
    series.device_id,
    series.metric,
    series.unit,
    series.readings,
    series.bad,
    series.constant,
    silences.usual_us / 1e6 as usual_interval_seconds,
    silences.missing,
    silences.gaps,
    silences.longest_us / 1e6 as longest_gap_seconds,
    coalesce(flat_series.minutes, 0) as flat_line_minutes
from series
left join silences
    on series.day = silences.day
    and series.device_id = silences.device_id
    and series.metric = silences.metric
    and series.unit is not distinct from silences.unit
left join flat_series
    on series.day = flat_series.day
    and series.device_id = flat_series.device_id
    and series.metric = flat_series.metric
    and series.unit is not distinct from flat_series.unit
