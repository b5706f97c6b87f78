{#
  Unbalance of three phases in per cent: the largest deviation of a phase from the mean of the three, divided by that
  mean. Source: NEMA MG 1, which defines it for voltages; the same ratio is in use for currents. IEC 60034-26 divides
  negative by positive sequence, for which angles are needed; magnitudes alone do not tell it.
#}
{% macro nema_unbalance(l1, l2, l3) -%}
case
    when {{ l1 }} + {{ l2 }} + {{ l3 }} > 0
        then 100 * greatest(
            abs(2 * {{ l1 }} - {{ l2 }} - {{ l3 }}),
            abs(2 * {{ l2 }} - {{ l1 }} - {{ l3 }}),
            abs(2 * {{ l3 }} - {{ l1 }} - {{ l2 }})
        ) / ({{ l1 }} + {{ l2 }} + {{ l3 }})
end
{%- endmacro %}
