"""Two collectors with one name: refused on one data folder, and told apart when they meet at the broker."""

from pathlib import Path

from iot_pipeline.settings import Settings, load_settings
from tests.faults.world import PATIENCE_SECONDS, CollectorProcess, assert_nothing_lost, device, running
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import landed_payloads


def test_on_one_data_folder_the_second_is_refused(
    settings: Settings, nats_broker: RunningBroker, tmp_path: Path
) -> None:
    first = CollectorProcess(settings, nats_broker.url, tmp_path / "first.log")
    second = CollectorProcess(settings, nats_broker.url, tmp_path / "second.log")
    with running(first), device(nats_broker) as one:
        second.child.start()
        assert second.child.process is not None
        assert second.child.process.wait(PATIENCE_SECONDS) == 2
        assert "collector-1" in second.log
        assert "IOT_COLLECTOR_ID" in second.log
        assert "Traceback" not in second.log
        one.send(50)
        first.until_landed(one.promised)
    assert assert_nothing_lost(settings, one).duplicates == 0


def test_from_two_data_folders_one_gives_up_and_nothing_is_lost(
    settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    """They take the session from each other; what the one that gives up has landed stays in its folder."""
    settings_two = load_settings(data=tmp_path / "data-2")
    one_log, two_log = tmp_path / "first.log", tmp_path / "second.log"
    collectors = [
        CollectorProcess(settings, mosquitto_broker.url, one_log),
        CollectorProcess(settings_two, mosquitto_broker.url, two_log),
    ]
    try:
        collectors[0].start()
        with device(mosquitto_broker) as one:
            one.begin(rate=200)
            collectors[1].child.start()
            wait_until(lambda: any(ended(each) for each in collectors), "one of them to give up", seconds=120)
            [loser] = [each for each in collectors if ended(each)]
            [winner] = [each for each in collectors if not ended(each)]
            one.end()
            one.wait_until_promised()
            wait_until(
                lambda: one.promised <= {*landed_payloads(winner.paths), *landed_payloads(loser.paths)},
                "all messages landed in one folder or the other",
                seconds=PATIENCE_SECONDS,
            )
        assert loser.child.end() == 2
        assert "collector-1" in loser.log
        assert "IOT_COLLECTOR_ID" in loser.log
        winner.until(lambda beat: beat.connected and beat.last_error is None, "the other one to be well")
        winner.stop()
    finally:
        for each in collectors:
            if not ended(each):
                each.kill()


def ended(collector: CollectorProcess) -> bool:
    process = collector.child.process
    return process is not None and process.poll() is not None
