"""Every setting of the product, where it comes from and what it may be.

Values come from the environment (`IOT_...`) or `.env` in the working folder; command line
options override them through the environment of the processes they start. Secrets come from
the environment only and are never printed. No settings of other programs (dagster.yaml, dbt).
"""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from iot_pipeline.errors import SettingsError
from iot_pipeline.paths import PROJECT_ROOT, DataPaths

BROKER_SCHEMES = {"mqtt": 1883, "mqtts": 8883}


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))


def _broker_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in BROKER_SCHEMES or not parts.hostname:
        raise ValueError("expected mqtt://host[:port] or mqtts://host[:port]")
    if parts.username or parts.password:
        raise ValueError("put user and password into IOT_BROKER_USERNAME and IOT_BROKER_PASSWORD, not into the URL")
    return url


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """All settings, validated. Durations are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="IOT_", env_file=".env", extra="ignore", frozen=True)

    data: AbsolutePath = Field(PROJECT_ROOT / "data", description="Folder for everything that is stored.")

    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field(
        "mqtt://127.0.0.1:1883", description="MQTT broker, mqtt:// or mqtts:// (TLS)."
    )
    broker_username: str | None = Field(None, description="User at the broker.")
    broker_password: SecretStr | None = Field(None, description="Password at the broker; environment only.")
    broker_ca_file: Path | None = Field(None, description="CA certificates for mqtts://; default: the system's.")
    topics: tuple[str, ...] = Field(("#",), min_length=1, description="MQTT topic filters to collect (JSON list).")
    collector_id: str = Field(
        "collector-1", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Name and MQTT client id of this collector."
    )
    batch_rows: int = Field(20_000, ge=1, le=1_000_000, description="Messages that fill a landing batch.")
    batch_bytes: int = Field(64_000_000, ge=1, description="Payload bytes that fill a landing batch.")
    batch_seconds: float = Field(2.0, gt=0, le=5, description="Longest time a message waits for its batch.")
    in_flight_window: int = Field(
        20_000,
        ge=1,
        le=65_535,
        description="Unacknowledged messages that the broker allows a client (Mosquitto: max_inflight_messages).",
    )
    max_payload_bytes: int = Field(
        1_048_576, ge=1, description="Longer payloads land whole but are quarantined instead of decoded."
    )

    intake_delay_seconds: int = Field(
        10, ge=0, le=50, description="How long after a minute's end its readings may arrive in the normal course."
    )
    minute_window_days: int = Field(14, ge=1, le=30, description="Days of minute partitions that Dagster keeps.")
    minute_start: date | None = Field(
        None, description="First day with minute partitions; default: the window before the current day."
    )
    history_start: date = Field(date(2010, 1, 1), description="First day that has a day partition.")
    max_lateness_seconds: int = Field(
        14 * 86_400, ge=60, description="Readings older than this on arrival are quarantined as `clock`."
    )
    max_skew_seconds: int = Field(
        300, ge=0, description="Readings further in the future than this are quarantined as `clock`."
    )
    mappings: AbsolutePath | None = Field(None, description="Folder with your own mapping files (YAML).")
    catch_up_minutes: int = Field(120, ge=1, le=1440, description="Most minutes that one run takes.")

    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster UI (loopback).")
    web_port: int = Field(8080, ge=1, le=65535, description="Port of the live pages and the API (loopback).")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minute_start is not None and self.minute_start < self.history_start:
            raise ValueError("IOT_MINUTE_START is before IOT_HISTORY_START; minutes belong to days that exist")
        return self

    @property
    def paths(self) -> DataPaths:
        """The trees below the data folder."""
        return DataPaths(self.data)

    @property
    def intake_delay(self) -> timedelta:
        """D: see `clock.landing_minute`."""
        return timedelta(seconds=self.intake_delay_seconds)

    @property
    def first_minute(self) -> datetime:
        """Midnight UTC of the first day that has minute partitions."""
        today = datetime.now(UTC).date()
        start = self.minute_start or max(today - timedelta(days=self.minute_window_days - 1), self.history_start)
        return datetime(start.year, start.month, start.day, tzinfo=UTC)

    @property
    def broker_host(self) -> str:
        """Host name of the broker."""
        return urlsplit(self.broker_url).hostname or "127.0.0.1"

    @property
    def broker_port(self) -> int:
        """TCP port of the broker, the scheme's own where the URL names none."""
        parts = urlsplit(self.broker_url)
        return parts.port or BROKER_SCHEMES[parts.scheme]

    @property
    def broker_tls(self) -> bool:
        """Whether the connection is TLS."""
        return urlsplit(self.broker_url).scheme == "mqtts"


def load_settings(**overrides: object) -> Settings:
    """Read and validate all settings; keyword arguments win over the environment.

    Raises:
        SettingsError: names each wrong variable, what was wrong and what was received.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        lines = [
            f"IOT_{'_'.join(str(part) for part in problem['loc']).upper() or '*'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("settings cannot be used, nothing was started:\n  " + "\n  ".join(lines)) from error
