"""The collector is killed, under load and at every step of landing; what was promised is there, once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from iot_pipeline.landing.ledger import LedgerCursor, read_since
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from tests.faults.world import HANDICAPPED, CollectorProcess, assert_nothing_lost, device, running
from tests.servers import RunningBroker
from tests.sources.publishing import landed_payloads


def test_killed_three_times_in_the_middle_of_a_batch(settings: Settings, broker: RunningBroker, tmp_path: Path) -> None:
    collector = CollectorProcess(settings, broker.url, tmp_path / "collector.log")
    with running(collector), device(broker, "one") as one, device(broker, "two") as two:
        for each in (one, two):
            each.begin(rate=1_000)
        for _ in range(3):
            before = len(landed_payloads(settings.paths))
            collector.until(lambda beat: beat.batches > 0 and beat.pending_rows > 0, "a batch that is being filled")
            assert len(landed_payloads(settings.paths)) > before
            collector.kill()
            collector.start()
        for each in (one, two):
            each.end()
            each.wait_until_promised()
        collector.until_landed(one.promised | two.promised)
    assert_nothing_lost(settings, one, two)


def being_written(paths: DataPaths) -> bool:
    return any(paths.landing.rglob("*.tmp"))


def renamed_but_not_in_the_ledger(paths: DataPaths) -> bool:
    return bool({path.name for path in paths.landing.rglob("*.parquet")} - entered(paths))


def in_the_ledger_but_not_acknowledged(paths: DataPaths) -> bool:
    # Its fsync is still on its way: see the launcher.
    return bool(entered(paths))


def entered(paths: DataPaths) -> set[str]:
    return {Path(line.file).name for line in read_since(paths, LedgerCursor())[0]}


@pytest.mark.parametrize(
    ("step", "copies"),
    [(being_written, 0), (renamed_but_not_in_the_ledger, 100), (in_the_ledger_but_not_acknowledged, 100)],
)
def test_killed_at_every_step_of_landing(
    step: Callable[[DataPaths], bool], copies: int, settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    """Each fsync takes half a second, so each step lasts long enough to be hit; copies that this leaves are removed.

    Which broker it is does not matter for this, and Mosquitto delivers again at once.
    """
    broker = mosquitto_broker
    slow = CollectorProcess(
        settings, broker.url, tmp_path / "slow.log", launcher=HANDICAPPED, FAULT_FSYNC_SECONDS="0.5"
    )
    with device(broker) as one:
        slow.start()
        one.send(100)
        slow.child.wait_for(lambda: step(settings.paths), step.__name__)
        slow.kill()
    with running(CollectorProcess(settings, broker.url, tmp_path / "collector.log")) as after:
        after.until_landed(one.promised)
        after.until(lambda beat: beat.unacked == 0 and beat.messages == 100, "all delivered again")
    result = assert_nothing_lost(settings, one)
    assert result.duplicates == copies
