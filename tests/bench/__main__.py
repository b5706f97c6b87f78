"""`make bench`: everything that a document claims about speed, measured on the real thing."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.api import api
from tests.bench.backlog import backlog
from tests.bench.channels import channels
from tests.bench.decode import decode
from tests.bench.figures import Figure, report
from tests.bench.history import history
from tests.bench.instance import PROJECT
from tests.bench.intake import intake
from tests.bench.line import line
from tests.bench.live import live
from tests.bench.opcua import opcua
from tests.bench.pages import pages
from tests.bench.reports import reports
from tests.bench.scoring import scoring
from tests.bench.steady import idle_collector, steady


def main() -> None:
    """Run the parts that were asked for, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=[
            "steady",
            "idle",
            "backlog",
            "intake",
            "decode",
            "opcua",
            "live",
            "api",
            "history",
            "pages",
            "reports",
            "scoring",
            "channels",
            "line",
        ],
        help="one part instead of all",
    )
    parser.add_argument("--minutes", type=int, default=20, help="length of the steady part (default 20)")
    parser.add_argument("--backlog", type=int, default=600, help="landed minutes of the backlog (default 600)")
    parser.add_argument("--json", type=Path, default=PROJECT / "data" / "bench.json", help="where the figures go")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Figure]]] = {
        "idle": idle_collector,
        "intake": intake,
        "decode": decode,
        "backlog": lambda folder: backlog(folder, options.backlog),
        "opcua": opcua,
        "api": api,
        "history": history,
        "pages": pages,
        "reports": reports,
        "scoring": scoring,
        "channels": channels,
        "line": line,
        "live": live,
        "steady": lambda folder: steady(folder, options.minutes),
    }
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="iot-bench-") as name:
        folder = Path(name)
        for part, measure in parts.items():
            if options.only in (None, part):
                figures += measure(folder)
    report(figures, options.json)


if __name__ == "__main__":
    main()
