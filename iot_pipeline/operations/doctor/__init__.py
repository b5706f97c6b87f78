"""`iot doctor`: is this installation sound, and if not, what to do. Changes nothing.

Each check is a function from settings to findings. Whether the pipeline keeps up at the moment
is `status.py`'s question.
"""

from collections.abc import Callable, Iterator

from iot_pipeline.operations.doctor.broker import check_broker
from iot_pipeline.operations.doctor.collectors import check_collectors
from iot_pipeline.operations.doctor.finding import Finding, Verdict
from iot_pipeline.operations.doctor.installation import check_leftovers, check_packages, check_ports, check_python
from iot_pipeline.operations.doctor.machine import check_clock, check_disk, check_folder
from iot_pipeline.operations.runstate import attached
from iot_pipeline.settings import Settings

CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_python,
    check_packages,
    check_folder,
    check_disk,
    check_clock,
    check_broker,
    check_collectors,
    check_ports,
    check_leftovers,
)

__all__ = ["CHECKS", "Finding", "Verdict", "examine"]


def examine(settings: Settings) -> Iterator[Finding]:
    """Run all checks in the order in which a person would ask; each is reported as it ends."""
    settings = attached(settings)
    for check in CHECKS:
        yield from check(settings)
