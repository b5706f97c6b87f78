"""Number of messages: the second of four outputs of the older US states system."""

from iot_pipeline.serving.reports.report import DAY, HOUR, Column, Query, Report

SQL = """
select cast(coalesce(sum(messages), 0) as bigint) as messages
from state_minute
where
    minute >= $begin and minute < $end
"""

REPORT = Report(
    name="states-messages",
    title="US states: messages",
    question="How many messages came from all states?",
    columns=(Column("messages", "messages, each with one temperature"),),
    queries={"": Query(SQL, ("state_minute",), HOUR / 12, DAY)},
)
