"""Doctor: what is wrong is seen and told with what to do; what is right is not complained about."""

import os
import time
from pathlib import Path

import pytest

from iot_pipeline.operations.broker_probe import BrokerAnswer, probe
from iot_pipeline.operations.doctor import Verdict, examine
from iot_pipeline.operations.doctor.broker import judge
from iot_pipeline.operations.doctor.finding import grade
from iot_pipeline.operations.doctor.installation import check_leftovers, check_packages
from iot_pipeline.operations.doctor.machine import check_folder
from iot_pipeline.operations.lockfile import locked_versions
from iot_pipeline.operations.ports import free_port
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import load_settings


@pytest.mark.parametrize(
    ("window", "verdict"), [(20, Verdict.fail), (1_000, Verdict.warn), (65_535, Verdict.ok), (None, Verdict.ok)]
)
def test_a_narrow_window_is_refused_with_the_setting_to_change(window: int | None, verdict: Verdict) -> None:
    first = next(judge("mqtt://x", BrokerAnswer(refused=None, receive_maximum=window), longest=1))
    assert first.verdict is verdict
    assert ("max_inflight_messages" in first.do) is (verdict is not Verdict.ok)


def test_a_broker_without_qos_1_is_refused() -> None:
    assert next(judge("mqtt://x", BrokerAnswer(refused=None, maximum_qos=0), longest=1)).verdict is Verdict.fail


def test_a_broker_that_is_away_is_told(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, broker_url=f"mqtt://127.0.0.1:{free_port()}")
    assert "refused" in (probe(settings).refused or "").lower()
    found = {finding.check: finding for finding in examine(settings)}
    assert found["broker"].verdict is Verdict.fail
    assert "IOT_BROKER_URL" in found["broker"].do


def test_an_unwritable_folder_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [finding] = check_folder(load_settings(data=tmp_path / "file" / "data"))
    assert finding.verdict is Verdict.fail


def test_old_temporary_files_are_told(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    assert [finding.verdict for finding in check_leftovers(settings)] == [Verdict.ok]
    old = tmp_path / "landing" / "x.parquet.tmp"
    old.parent.mkdir()
    old.write_text("")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    [finding] = check_leftovers(settings)
    assert finding.verdict is Verdict.warn
    assert str(old) in finding.seen


def test_what_is_installed_is_what_is_locked(tmp_path: Path) -> None:
    [finding] = check_packages(load_settings(data=tmp_path))
    assert finding.verdict is Verdict.ok, finding.seen


def test_lock_files_hold_for_this_platform() -> None:
    pins = locked_versions(PROJECT_ROOT / "requirements.lock")
    assert pins["dagster"] == pins["dagster-webserver"]
    assert "pywin32" not in pins


def test_grades() -> None:
    assert [grade(value, fail=10, warn=100) for value in (9, 10, 99, 100)] == ["fail", "warn", "warn", "ok"]
