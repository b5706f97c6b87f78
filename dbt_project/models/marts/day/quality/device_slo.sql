{#
  What a device should have sent follows from the pace of its series (`int_series_day`). A device that was heard in the
  days before and is silent has a row too.
#}
{% set silent_days = 7 %}
with series as (
    select * from {{ ref('int_series_day') }}
),

devices as (
    select
        device_id,
        fleet
    from {{ source('history', 'published_dim_device') }}
),

readings as (
    select
        cast(event_ts as date) as day,
        device_id,
        {{ microseconds('received_at') }} - {{ microseconds('event_ts') }} as late_us
    from {{ ref('stg_readings') }}
    where {{ in_window() }}
),

lateness as (
    select
        day,
        device_id,
        {{ exact_quantile('late_us', 0.95) }} / 1e6 as p95_seconds
    from readings
    group by day, device_id
),

heard as (
    select
        day,
        device_id,
        count(*) as series,
        sum(readings) as readings,
        sum(bad) as bad,
        sum(constant) as constant_series,
        max(flat_line_minutes) as flat_line_minutes,
        count(usual_interval_seconds) as regular_series,
        sum(case when usual_interval_seconds is null then 0 else readings + missing end) as expected,
        sum(missing) as missing,
        max(gaps) as gaps,
        max(longest_gap_seconds) as longest_gap_seconds
    from series
    group by day, device_id
),

quarantined as (
    select
        day,
        device_id,
        count(distinct message_id) as messages
    from {{ ref('stg_quarantine') }}
    group by day, device_id
),

repeated as (
    select
        day,
        device_id,
        repeats
    from {{ ref('stg_device_repeats') }}
),

heard_before as (
    select
        day,
        device_id,
        case when regular_series > 0 then 1 else 0 end as regular
    from heard
    union all
    select
        day,
        device_id,
        case when completeness_percent is null then 0 else 1 end as regular
    from {{ source('history', 'published_device_slo') }}
    where readings > 0
),

-- A day that is not over, or has not begun, for which nothing was decoded yet, is nobody's silence.
missed as (
    select
        days.day,
        heard_before.device_id,
        {{ latest('heard_before.regular', 'heard_before.day') }} as regular
    from ({{ days_of_the_run() }}) as days
    inner join heard_before
        on days.day > heard_before.day
        and cast({{ microseconds('cast(days.day as timestamp)') }} / 86400000000 as bigint)
        <= cast({{ microseconds('cast(heard_before.day as timestamp)') }} / 86400000000 as bigint) + {{ silent_days }}
    where {{ microseconds('cast(days.day as timestamp)') }} < {{ microseconds(utc_timestamp(var('seen_until'))) }}
    group by days.day, heard_before.device_id
),

known as (
    select day, device_id from heard
    union distinct
    select day, device_id from missed
    union distinct
    select day, device_id from quarantined
    union distinct
    select day, device_id from repeated
)

select
    known.day,
    known.device_id,
    devices.fleet,
    cast(coalesce(heard.readings, 0) as bigint) as readings,
    cast(case when heard.regular_series > 0 then heard.expected end as bigint) as expected,
    cast(heard.missing as bigint) as missing,
    case
        when heard.regular_series > 0 then 100.0 * (heard.expected - heard.missing) / heard.expected
        when heard.device_id is null and missed.regular = 1 then 0.0
    end as completeness_percent,
    lateness.p95_seconds as lateness_p95_seconds,
    cast(heard.gaps as bigint) as gaps,
    heard.longest_gap_seconds,
    cast(coalesce(repeated.repeats, 0) as bigint) as duplicates,
    cast(coalesce(heard.flat_line_minutes, 0) as bigint) as flat_line_minutes,
    cast(coalesce(quarantined.messages, 0) as bigint) as quarantined,
    100.0 * heard.bad / heard.readings as bad_percent,
    cast(coalesce(heard.series, 0) as bigint) as series,
    cast(coalesce(heard.regular_series, 0) as bigint) as regular_series,
    cast(coalesce(heard.constant_series, 0) as bigint) as constant_series
from known
left join heard on known.day = heard.day and known.device_id = heard.device_id
left join lateness on known.day = lateness.day and known.device_id = lateness.device_id
left join quarantined on known.day = quarantined.day and known.device_id = quarantined.device_id
left join repeated on known.day = repeated.day and known.device_id = repeated.device_id
left join missed on known.day = missed.day and known.device_id = missed.device_id
left join devices on known.device_id = devices.device_id
