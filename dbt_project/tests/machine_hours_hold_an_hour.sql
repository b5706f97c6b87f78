-- Identity: neither states nor the integral of a phase cover more than the hour.
{{ config(
    tags=['day'],
    meta={
        'description': 'The states of an hour last no longer than the hour together, and no integral covers more.',
        'dagster': {'ref': {'name': 'machine_state_hour'}}
    }
) }}

with covered as (
    select
        'states' as what,
        hour,
        device_id,
        sum(seconds) as seconds,
        min(seconds) as shortest
    from {{ ref('machine_state_hour') }}
    group by hour, device_id
    {% for phase in ['l1', 'l2', 'l3'] %}
    union all
    select
        '{{ phase }}' as what,
        hour,
        device_id,
        covered_{{ phase }}_seconds as seconds,
        covered_{{ phase }}_seconds as shortest
    from {{ ref('machine_current_hour') }}
    {% endfor %}
)

select * from covered
where seconds > 3600 + 1e-6 or shortest < 0
