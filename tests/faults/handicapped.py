"""A collector on a machine that is not well: `python -m tests.faults.handicapped`.

    FAULT_FSYNC_SECONDS   each fsync takes that much longer
    FAULT_CLOCK           file with the seconds that the machine's clock is off; it may change at any moment

The operating system is what is slow or wrong here, so its functions are replaced, before anything
of the product has been imported, and nothing of the product itself.
"""

import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from iot_pipeline import clock

real_fsync, real_now = os.fsync, clock.utc_now


def slow_fsync(descriptor: int) -> None:
    """The disk answers late."""
    time.sleep(float(os.environ["FAULT_FSYNC_SECONDS"]))
    real_fsync(descriptor)


def wrong_now() -> datetime:
    """What the machine believes the time to be."""
    return real_now() + timedelta(seconds=float(Path(os.environ["FAULT_CLOCK"]).read_text()))


if __name__ == "__main__":
    if "FAULT_FSYNC_SECONDS" in os.environ:
        os.fsync = slow_fsync  # type: ignore[assignment]  # only numbers of open files are given to it
    if "FAULT_CLOCK" in os.environ:
        clock.utc_now = wrong_now
    from iot_pipeline.sources.collector import main

    sys.exit(main())
