"""`iot evaluate` as people and programs run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from iot_pipeline.paths import PROJECT_ROOT
from tests.anomalies.evaluation.histories import long, wide, write_sets


def iot(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_pipeline.cli", "evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_long_csv_with_labels_gives_measures_and_a_row_for_each_row(tmp_path: Path) -> None:
    frame = long().with_columns(label=(pl.int_range(pl.len()) // 50 == 15).cast(pl.Int8))
    frame = frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), pl.col("value") + 9 * pl.col("label"))
    frame.write_csv(tmp_path / "river.csv")
    done = iot(tmp_path / "river.csv", "--fit-until", "2026-03-05", "--out", tmp_path / "scores.parquet")
    assert done.returncode == 0, done.stderr
    assert "VUS-PR" in done.stdout
    assert "random scores" in done.stdout
    assert "long form: value" in done.stderr
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.columns == ["series", "ts", "score", "flag", "type", "expected_low", "expected_high", "reason"]
    assert scores.select("series", "ts").equals(frame.select("series", "ts"))
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_wide_parquet_without_labels_says_how_many_alerts_there_were(tmp_path: Path) -> None:
    wide().rename({"flow": "=HYPERLINK(1)"}).write_parquet(tmp_path / "pump.parquet")
    done = iot(tmp_path / "pump.parquet", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["labelled"] is False
    assert told["vus_pr"] is None
    assert "wide form, 3 channels: =HYPERLINK(1), power, heat" in done.stderr


def test_a_file_that_is_only_learned_from_says_so_and_has_no_figures(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("series,ts,value\npump,2026-11-01T00:00:00Z,1\n")
    done = iot(tmp_path / "one.csv")
    assert done.returncode == 0, done.stderr
    assert "no row was scored" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("speed")] == ["-"]


def test_sets_are_measured_with_each_detector(tmp_path: Path) -> None:
    write_sets(tmp_path)
    done = iot("--sets", tmp_path, "--set", "nab", "--detector", "random,global_z", "--out", tmp_path / "table.parquet")
    assert done.returncode == 0, done.stderr
    assert "global_z (sees the future)" in done.stdout
    assert pl.read_parquet(tmp_path / "table.parquet").height == 2


def test_what_cannot_be_used_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("when,what\n1,2\n")
    for arguments, complaint in (
        ([], "name a FILE"),
        ([tmp_path / "bad.csv"], "no column series and ts; found: when, what"),
        ([tmp_path / "bad.csv", "--fit-until", "soon"], "--fit-until 'soon'"),
        ([tmp_path / "bad.csv", "--out", tmp_path / "x.csv"], "scores are written as Parquet"),
        ([tmp_path / "bad.csv", "--budget", "0"], "--budget 0.0"),
        ([tmp_path / "bad.csv", "--budget", "nan"], "from 1e-06 to 1e+06"),
        (["--sets", tmp_path], "no such labelled set"),
    ):
        done = iot(*arguments)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr


def test_scores_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    long().write_parquet(tmp_path / "river.parquet")
    before = (tmp_path / "river.parquet").read_bytes()
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file").write_text("")
    for out, complaint in (
        (tmp_path / "river.parquet", "this is the file with the readings, left as it is"),
        (tmp_path / "folder.parquet", "this is a folder"),
        (tmp_path / "file" / "scores.parquet", "cannot be written in"),
    ):
        done = iot(tmp_path / "river.parquet", "--out", out)
        assert (done.returncode, complaint in done.stderr, "scoring" in done.stderr) == (2, True, False), done.stderr
    assert (tmp_path / "river.parquet").read_bytes() == before


def test_neither_dagster_nor_a_database_is_imported(tmp_path: Path) -> None:
    long().write_parquet(tmp_path / "river.parquet")
    program = (
        "import sys; sys.argv = ['iot', 'evaluate', sys.argv[1]]\n"
        "from iot_pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('dagster', 'duckdb', 'dbt', 'nicegui') if name in sys.modules], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "river.parquet")]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_ctrl_c_leaves_the_old_scores_and_no_rest(tmp_path: Path) -> None:
    pl.concat([long(days=300, series=f"s{place}") for place in range(20)]).write_parquet(tmp_path / "much.parquet")
    (tmp_path / "scores.parquet").write_text("old")
    command = [sys.executable, "-m", "iot_pipeline.cli", "evaluate", str(tmp_path / "much.parquet")]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "scores.parquet")],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as running:
        assert running.stderr is not None
        while b"scoring" not in running.stderr.readline():
            assert running.poll() is None
            time.sleep(0)
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=60)
    assert running.returncode != 0
    assert b"Traceback" not in rest
    assert (tmp_path / "scores.parquet").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["much.parquet", "scores.parquet"]
