"""Where things live below the data folder. Nothing here opens, lists or writes a file.

Every tree is a function of the data folder alone, so that two instances with different
folders never meet. Names that come from outside (topics, devices) are never part of a path.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT = PROJECT_ROOT / "dbt_project"


@dataclass(frozen=True, slots=True)
class DataPaths:
    """Paths below one data folder (absolute)."""

    root: Path

    @property
    def landing(self) -> Path:
        """Raw messages: `dt=/hm=/<collector>-<batch>.parquet`, by landing minute."""
        return self.root / "landing"

    @property
    def ledger(self) -> Path:
        """Append-only journals (JSON lines) that sensors follow by byte offset."""
        return self.root / "ledger"

    @property
    def readings(self) -> Path:
        """Decoded readings: `open/` by event minute and `sealed/` by event day."""
        return self.root / "readings"

    @property
    def quarantine(self) -> Path:
        """What could not be read, by landing minute."""
        return self.root / "quarantine"

    @property
    def intake(self) -> Path:
        """One row a landing minute: what became of its messages (the conservation account)."""
        return self.root / "intake"

    @property
    def devices(self) -> Path:
        """Devices seen in a landing minute, with the attributes they told."""
        return self.root / "devices"

    @property
    def marts(self) -> Path:
        """Published dbt models: `<model>/<partition>.parquet`."""
        return self.root / "marts"

    @property
    def flags(self) -> Path:
        """Anomaly flags by event minute."""
        return self.root / "anomaly_flags"

    @property
    def day_flags(self) -> Path:
        """Anomaly flags of whole days, one file a UTC day."""
        return self.root / "anomaly_day_flags"

    @property
    def events(self) -> Path:
        """Anomaly events, one file a UTC day."""
        return self.root / "anomaly_events"

    @property
    def models(self) -> Path:
        """Learned models by day, and the journal of those that were promoted."""
        return self.root / "anomaly_models"

    @property
    def notifications(self) -> Path:
        """Which events were told to people, JSON lines by day: nothing else knows it."""
        return self.root / "notifications"

    @property
    def corrections(self) -> Path:
        """What people corrected, one file a correction: nothing else knows it."""
        return self.root / "corrections"

    @property
    def feedback(self) -> Path:
        """What people said about flags, as JSON lines: nothing else knows it."""
        return self.root / "feedback" / "flags.jsonl"

    @property
    def retained(self) -> Path:
        """Since when each level of the data is kept."""
        return self.root / "retained.json"

    @property
    def evaluation(self) -> Path:
        """How right flags and detectors were when last measured."""
        return self.root / "anomaly_evaluation"

    @property
    def labels(self) -> Path:
        """Truth labels that the simulators write beside what they inject."""
        return self.root / "labels"

    @property
    def dbt_docs(self) -> Path:
        """The documents of the models as one page."""
        return self.root / "docs" / "dbt.html"

    @property
    def warehouse(self) -> Path:
        """The published catalog of views: what people open."""
        return self.root / "warehouse.duckdb"

    @property
    def state(self) -> Path:
        """Heartbeats of running processes, replaced whole about once a second."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """Logs of the processes of `iot up`."""
        return self.root / "logs"

    @property
    def tmp(self) -> Path:
        """Disposable: run folders of dbt, half-written files of other trees never go here."""
        return self.root / "tmp"

    @property
    def dagster(self) -> Path:
        """Dagster's run history, event logs and schedules."""
        return self.root / "dagster"

    @property
    def broker(self) -> Path:
        """Configuration and durable store of the embedded broker."""
        return self.root / "broker"


def minute_folder(tree: Path, minute: datetime) -> Path:
    """`<tree>/dt=YYYY-MM-DD/hm=HHMM` for a UTC minute."""
    return tree / f"dt={minute:%Y-%m-%d}" / f"hm={minute:%H%M}"


def day_folder(tree: Path, day: date) -> Path:
    """`<tree>/dt=YYYY-MM-DD`."""
    return tree / f"dt={day:%Y-%m-%d}"
