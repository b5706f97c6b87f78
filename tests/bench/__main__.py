"""`make bench`: everything that a document claims about speed, measured on the real thing."""

import argparse
import tempfile
from pathlib import Path

from tests.bench.api import api
from tests.bench.backlog import backlog
from tests.bench.decode import decode
from tests.bench.figures import Figure, report
from tests.bench.instance import PROJECT
from tests.bench.intake import intake
from tests.bench.live import live
from tests.bench.opcua import opcua
from tests.bench.reports import reports
from tests.bench.steady import idle_collector, steady


def main() -> None:
    """Run the parts that were asked for, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["steady", "idle", "backlog", "intake", "decode", "opcua", "live", "api", "reports"],
        help="one part instead of all",
    )
    parser.add_argument("--minutes", type=int, default=20, help="length of the steady part (default 20)")
    parser.add_argument("--backlog", type=int, default=600, help="landed minutes of the backlog (default 600)")
    parser.add_argument("--json", type=Path, default=PROJECT / "data" / "bench.json", help="where the figures go")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="iot-bench-") as name:
        folder = Path(name)
        if options.only in (None, "idle"):
            figures += idle_collector(folder)
        if options.only in (None, "intake"):
            figures += intake(folder)
        if options.only in (None, "decode"):
            figures += decode(folder)
        if options.only in (None, "backlog"):
            figures += backlog(folder, options.backlog)
        if options.only in (None, "opcua"):
            figures += opcua(folder)
        if options.only in (None, "api"):
            figures += api(folder)
        if options.only in (None, "reports"):
            figures += reports(folder)
        if options.only in (None, "live"):
            figures += live(folder)
        if options.only in (None, "steady"):
            figures += steady(folder, options.minutes)
    report(figures, options.json)


if __name__ == "__main__":
    main()
