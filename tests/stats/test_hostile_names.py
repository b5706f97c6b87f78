"""Names that would be SQL, templates, paths or formulas elsewhere: literal in statistics, SQL and CSV."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from iot_pipeline.clock import MINUTE
from iot_pipeline.serving.queries import run_sql
from iot_pipeline.serving.tables import Format, write_result
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import build_minutes_stats
from iot_pipeline.stats.relations import device_minute_tree
from tests.stats.world import Row, file_readings

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NAMES = [
    "x'; DROP TABLE readings; --",
    "x'); COPY (SELECT 1) TO 'pwned.csv'; --",
    "{{ exceptions.raise_compiler_error('x') }}",
    "{% endraw %}{{ this }}",
    '=HYPERLINK("http://example.invalid","x")',
    "../../etc/passwd",
    "day=2026-11-21",
    "dev*[1]?",
    "<script>alert(1)</script>",
    "%s%n{0}",
    "dev\n2026-11-21 ERROR forged",
    'a,b|c"d',
    "null",
    "NaN",
    "007",
    "Temp",
    "temp",
]


def test_hostile_names_stay_what_they_are(settings: Settings, tmp_path: Path) -> None:
    first = [Row(TEN + timedelta(seconds=1), 1.5, name, name, name) for name in NAMES]
    file_readings(settings, [*first, *(replace(row, value=2.5, event_ts=row.event_ts + MINUTE) for row in first)])
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    built = device_minute_tree(settings.paths).read(TEN, TEN + MINUTE)
    names = sorted(2 * NAMES)
    assert [sorted(built[column]) for column in ("device_id", "metric", "unit")] == [names, names, names]
    out = io.StringIO()
    query = "SELECT device_id, metric, unit FROM readings ORDER BY device_id"
    write_result(run_sql(settings.paths, query), Format.csv, out)
    assert sorted(row[0] for row in list(csv.reader(io.StringIO(out.getvalue())))[1:]) == names
    assert not list(tmp_path.rglob("pwned.csv")) + list(Path.cwd().glob("pwned.csv"))
