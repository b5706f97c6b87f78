"""Mean temperature by state, descending: the first of four outputs of the older US states system."""

from iot_pipeline.serving.reports.report import DAY, HOUR, Column, Query, Report

SQL = """
select
    state,
    sum(mean * messages) / sum(messages) as mean_temperature,
    unit
from state_minute
where
    minute >= $begin and minute < $end
group by state, unit
order by mean_temperature desc, state
"""

REPORT = Report(
    name="states-temperature",
    title="US states: mean temperature by state",
    question="In which state is it how warm, the warmest first?",
    columns=(
        Column("state", "the state"),
        Column("mean_temperature", "mean of all temperatures of the time", "unit"),
        Column("unit", "unit of the temperature"),
    ),
    queries={"": Query(SQL, ("state_minute",), HOUR / 12, DAY)},
)
