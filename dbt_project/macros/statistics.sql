{# What counts in statistics: numbers that are not known to be bad.
   NaN, infinities and figures beyond any physical quantity would make sums overflow for everybody. #}
{% macro is_number() %}quality <> 'bad' and abs(reading) < 1e140{% endmacro %}

{# The event times that this run builds. #}
{% macro in_window() -%}
    event_ts >= {{ utc_timestamp(var('min_ts')) }} and event_ts < {{ utc_timestamp(var('max_ts')) }}
{%- endmacro %}

{# The statistics of `reading`, the same in every mart that is built from readings. #}
{% macro reading_statistics() -%}
    count(*) as count,
    min(reading) as min,
    max(reading) as max,
    avg(reading) as mean,
    {{ sample_stddev('reading') }} as stddev,
    {{ earliest('reading', 'event_ts') }} as first,
    {{ latest('reading', 'event_ts') }} as last,
    {{ exact_quantile('reading', 0.5) }} as p50,
    {{ exact_quantile('reading', 0.95) }} as p95
{%- endmacro %}

{#
  The same statistics combined from those of disjoint parts, exactly: the squares about the common
  mean are what each part has within it plus what lies between its mean and the common one.
  Quantiles of parts cannot be combined, so they are missing. Needs `common_mean` on each part.
#}
{% macro combined_statistics(part) -%}
    cast(sum(count) as bigint) as count,
    min(min) as min,
    max(max) as max,
    max(common_mean) as mean,
    case
        when sum(count) > 1
            then sqrt(
                sum((count - 1) * coalesce(stddev * stddev, 0) + count * power(mean - common_mean, 2))
                / (sum(count) - 1)
            )
    end as stddev,
    {{ earliest('first', part) }} as first,
    {{ latest('last', part) }} as last
{%- endmacro %}

{# Mean of all readings of the same `period`, device, metric and unit, from the means of the parts. #}
{% macro common_mean(period) -%}
    sum(mean * count) over (partition by {{ period }}, device_id, metric, unit)
    / sum(count) over (partition by {{ period }}, device_id, metric, unit) as common_mean
{%- endmacro %}
