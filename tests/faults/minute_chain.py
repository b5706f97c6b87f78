"""The minute chain in a process of its own, as often as it is asked to: `python -m tests.faults.minute_chain`.

Arguments: data folder, folder for Dagster's history, first and last minute. It says `ready` once it has loaded
the definitions. For each line on standard input the chain runs once and a line of JSON comes out: whether it
succeeded, and the errors of failed steps.
"""

import json
import sys
from pathlib import Path

import dagster as dg

from iot_pipeline.partitions import RANGE_END_TAG, RANGE_START_TAG
from iot_pipeline.settings import load_settings
from tests.pipeline.world import define


def main(data: str, history: str, first: str, last: str) -> None:
    """Serve until standard input closes."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # Logs must not come between the answers.
    chain = define(load_settings(data=Path(data))).resolve_job_def("minute_chain")
    print("ready", file=answers, flush=True)
    with dg.DagsterInstance.local_temp(history, overrides={"telemetry": {"enabled": False}}) as instance:
        for _ in sys.stdin:
            result = chain.execute_in_process(
                instance=instance, tags={RANGE_START_TAG: first, RANGE_END_TAG: last}, raise_on_error=False
            )
            failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
            errors = [error.to_string() for error in failures if error is not None]
            print(json.dumps({"success": result.success, "errors": errors}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
