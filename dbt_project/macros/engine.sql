{# What engines call differently. The models themselves stay the same on DuckDB and Spark. #}

{% macro utc_timestamp(text) %}{{ return(adapter.dispatch('utc_timestamp')(text)) }}{% endmacro %}
{% macro default__utc_timestamp(text) %}cast('{{ text }}' as timestamp){% endmacro %}
{% macro duckdb__utc_timestamp(text) %}cast('{{ text }}' as timestamptz){% endmacro %}

{% macro earliest(column, by) %}{{ return(adapter.dispatch('earliest')(column, by)) }}{% endmacro %}
{% macro default__earliest(column, by) %}min_by({{ column }}, {{ by }}){% endmacro %}
{% macro duckdb__earliest(column, by) %}arg_min({{ column }}, {{ by }}){% endmacro %}

{% macro latest(column, by) %}{{ return(adapter.dispatch('latest')(column, by)) }}{% endmacro %}
{% macro default__latest(column, by) %}max_by({{ column }}, {{ by }}){% endmacro %}
{% macro duckdb__latest(column, by) %}arg_max({{ column }}, {{ by }}){% endmacro %}

{% macro exact_quantile(column, share) %}{{ return(adapter.dispatch('exact_quantile')(column, share)) }}{% endmacro %}
{% macro default__exact_quantile(column, share) %}percentile({{ column }}, {{ share }}){% endmacro %}
{% macro duckdb__exact_quantile(column, share) %}quantile_cont({{ column }}, {{ share }}){% endmacro %}

{% macro sample_stddev(column) %}{{ return(adapter.dispatch('sample_stddev')(column)) }}{% endmacro %}
{# Spark gives NaN for one row. #}
{% macro default__sample_stddev(column) %}case when count(*) > 1 then stddev_samp({{ column }}) end{% endmacro %}
{% macro duckdb__sample_stddev(column) %}stddev_samp({{ column }}){% endmacro %}

{# Rows (key, value) of the members of a JSON object, value as JSON. #}
{% macro json_members(object) %}{{ return(adapter.dispatch('json_members')(object)) }}{% endmacro %}
{% macro default__json_members(object) %}lateral variant_explode(parse_json({{ object }})){% endmacro %}
{% macro duckdb__json_members(object) %}json_each({{ object }}){% endmacro %}

{# The text of one member of a JSON object; null when it is not there. #}
{% macro json_text(object, key) %}{{ return(adapter.dispatch('json_text')(object, key)) }}{% endmacro %}
{% macro default__json_text(object, key) %}get_json_object(cast({{ object }} as string), '$.{{ key }}'){% endmacro %}
{% macro duckdb__json_text(object, key) %}json_extract_string({{ object }}, '$.{{ key }}'){% endmacro %}

{# Aggregate: a JSON object of keys (text) and values (JSON text), keys in order. #}
{% macro json_object_of(key, value) %}{{ return(adapter.dispatch('json_object_of')(key, value)) }}{% endmacro %}
{% macro default__json_object_of(key, value) -%}
    concat('{', array_join(array_sort(collect_list(concat(to_json({{ key }}), ':', {{ value }}))), ','), '}')
{%- endmacro %}
{% macro duckdb__json_object_of(key, value) -%}
    '{' || string_agg(cast(to_json({{ key }}) as varchar) || ':' || {{ value }}, ',' order by {{ key }}) || '}'
{%- endmacro %}

{# JSON text: a value (JSON text) and when it was told. #}
{% macro json_told(value, told_at) %}{{ return(adapter.dispatch('json_told')(value, told_at)) }}{% endmacro %}
{% macro default__json_told(value, told_at) %}to_json(named_struct('at', {{ told_at }}, 'value', {{ value }})){% endmacro %}
{% macro duckdb__json_told(value, told_at) -%}
    cast(json_object('at', cast({{ told_at }} as varchar), 'value', {{ value }}) as varchar)
{%- endmacro %}

{# Seconds from one instant to another, with their microseconds. #}
{% macro seconds_between(begin, end) %}{{ return(adapter.dispatch('seconds_between')(begin, end)) }}{% endmacro %}
{% macro default__seconds_between(begin, end) %}((unix_micros({{ end }}) - unix_micros({{ begin }})) / 1e6){% endmacro %}
{% macro duckdb__seconds_between(begin, end) %}(date_diff('microsecond', {{ begin }}, {{ end }}) / 1e6){% endmacro %}

{# An instant some whole seconds later. #}
{% macro seconds_later(instant, seconds) %}{{ instant }} + interval '{{ seconds }}' second{% endmacro %}

{# Sum of doubles with the rounding errors carried along, where the engine can: parts then add up to their whole. #}
{% macro compensated_sum(column) %}{{ return(adapter.dispatch('compensated_sum')(column)) }}{% endmacro %}
{% macro default__compensated_sum(column) %}sum({{ column }}){% endmacro %}
{% macro duckdb__compensated_sum(column) %}fsum({{ column }}){% endmacro %}
