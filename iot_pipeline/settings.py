"""Every setting of the product, where it comes from and what it may be.

Values come from the environment (`IOT_...`) or `.env` in the working folder; command line
options override them through the environment of the processes they start. Secrets come from
the environment only and are never printed. No settings of other programs (dagster.yaml, dbt).
"""

import ipaddress
import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from iot_pipeline.errors import SettingsError
from iot_pipeline.paths import PROJECT_ROOT, DataPaths

BROKER_SCHEMES = {"mqtt": 1883, "mqtts": 8883}
SHORTEST_KEY = 16
_KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))


def _broker_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in BROKER_SCHEMES or not parts.hostname:
        raise ValueError("expected mqtt://host[:port] or mqtts://host[:port]")
    if parts.username or parts.password:
        raise ValueError("put user and password into IOT_BROKER_USERNAME and IOT_BROKER_PASSWORD, not into the URL")
    return url


def _named_keys(keys: SecretStr | None) -> SecretStr | None:
    if keys is not None:
        pairs = [pair.strip().partition(":") for pair in keys.get_secret_value().split(",")]
        names = {name for name, colon, _ in pairs if colon and _KEY_NAME.fullmatch(name)}
        if len(names) < len(pairs):
            raise ValueError("expected name:key,name:key with different names of letters, digits, `_` and `-`")
        if any(len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() for _, _, key in pairs):
            raise ValueError(f"a key has at least {SHORTEST_KEY} printable ASCII characters, and no comma")
    return keys


def _web_address(address: SecretStr | None) -> SecretStr | None:
    if address is not None:
        parts = urlsplit(address.get_secret_value())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected http://… or https://…")
    return address


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
    mqtt_reader: Literal["paho", "mqtt5"] = Field(
        "paho",
        description="Client that reads from the broker: `paho` (MQTT 3.1.1) or `mqtt5`, "
        "which is several times faster and needs a broker of MQTT 5.",
    )
    sparkplug_host_id: str | None = Field(
        "iot-pipeline",
        pattern=r"^[^+/#]*$",
        description="Id of the Sparkplug B Host Application that this product is; empty: it is none.",
    )
    sparkplug_reorder_seconds: float = Field(
        2.0, ge=0, le=60, description="How long a Sparkplug message waits for one with an earlier sequence number."
    )
    sparkplug_rebirth_seconds: float = Field(
        30.0, ge=1, description="Least time between two rebirth requests to one Sparkplug edge node."
    )
    opcua: AbsolutePath | None = Field(None, description="YAML file that names the OPC UA servers to collect from.")
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

    retention_landing_days: int | None = Field(
        None, ge=1, description="Days that raw messages are kept, with their quarantine; default: for ever."
    )
    retention_readings_days: int | None = Field(
        None, ge=1, description="Days that readings are kept; older days are final. Default: for ever."
    )
    retention_minute_days: int | None = Field(
        None, ge=1, description="Days that statistics and flags by minute are kept; default: for ever."
    )
    retention_day_days: int | None = Field(
        None, ge=1, description="Days that statistics by hour and day are kept, in whole months; default: for ever."
    )
    retention_runs_days: int | None = Field(
        None, ge=1, description="Days that Dagster's runs are kept; default: the minute window."
    )

    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster UI (loopback).")
    live_memory_mb: int = Field(
        2048,
        ge=64,
        description="Most memory (MB) for the windows and readings of the live layer, which drops old series.",
    )
    web_port: int = Field(8080, ge=1, le=65535, description="Port of the pages and the API.")
    web_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address that pages and API listen on; other than loopback only with IOT_API_KEYS.",
    )
    api_keys: Annotated[SecretStr | None, AfterValidator(_named_keys)] = Field(
        None,
        description="Keys that pages and API ask for, `name:key,name:key`; environment only. Default: none is asked.",
    )
    api_labellers: tuple[str, ...] = Field(
        (), description="Names of the keys that may also give feedback on flags (JSON list); all others only read."
    )
    api_rate: float = Field(
        100.0, gt=0, description="Requests a second that the API takes from one client, in bursts of twice as many."
    )

    notify_severity: Literal["notice", "warning", "critical"] = Field(
        "warning", description="Least severity of anomaly events that people are told of: notice, warning or critical."
    )
    notify_per_hour: int = Field(
        20, ge=1, description="Most events an hour that people are told of one by one over each channel."
    )
    notify_webhook: Annotated[SecretStr | None, AfterValidator(_web_address)] = Field(
        None, description="Address (http or https) that new anomaly events are posted to as JSON; environment only."
    )
    notify_topic: str | None = Field(
        None,
        pattern=r"^[^+#$\x00][^+#\x00]*$",
        description="MQTT topic that new anomaly events are published on; the collector leaves it out.",
    )
    labelled_sets: AbsolutePath | None = Field(
        None, description="Folder with labelled sets that the evaluation measures detectors on; none are shipped."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minute_start is not None and self.minute_start < self.history_start:
            raise ValueError("IOT_MINUTE_START is before IOT_HISTORY_START; minutes belong to days that exist")
        self._check_retention()
        self._check_access()
        return self

    def _check_access(self) -> None:
        if not self.api_keys and not self.web_is_loopback:
            raise ValueError(
                f"IOT_WEB_HOST={self.web_host} can be reached by others, and nobody is asked for a key: "
                "set IOT_API_KEYS=name:key, or leave the host at 127.0.0.1"
            )
        if unknown := set(self.api_labellers) - set(self.api_key_names):
            raise ValueError(f"IOT_API_LABELLERS names no key of IOT_API_KEYS: {', '.join(sorted(unknown))}")

    def _check_retention(self) -> None:
        window = self.minute_window_days
        for level in ("landing", "readings", "minute", "runs"):
            days = getattr(self, f"retention_{level}_days")
            if days is not None and days < window:
                raise ValueError(
                    f"IOT_RETENTION_{level.upper()}_DAYS={days} is less than IOT_MINUTE_WINDOW_DAYS={window}: "
                    "minutes of the window can be built again at any time. Keep more, or make the window shorter"
                )
        readings, days = self.retention_readings_days, self.retention_day_days
        if days is not None and (readings is None or readings > days):
            raise ValueError(
                f"IOT_RETENTION_DAY_DAYS={days} needs IOT_RETENTION_READINGS_DAYS of at most that: late readings of a "
                "day whose statistics are gone would make its month from that day alone"
            )

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
    def web_is_loopback(self) -> bool:
        """Whether only programs on this machine reach the API."""
        try:
            return ipaddress.ip_address(self.web_host).is_loopback
        except ValueError:
            return self.web_host == "localhost"

    @property
    def api_key_names(self) -> dict[str, str]:
        """The keys by their names; empty when none is asked for. Not for logs."""
        pairs = self.api_keys.get_secret_value().split(",") if self.api_keys else []
        return {name: key for name, _, key in (pair.strip().partition(":") for pair in pairs)}

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
    def broker_address(self) -> str:
        """`host:port` of the broker, as people are told it."""
        return f"{self.broker_host}:{self.broker_port}"

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
