"""What the file named by `IOT_OPCUA` may say: pydantic models, checked before anything connects.

No connections here. Passwords are never in the file: it names environment variables.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import yaml
from asyncua import ua
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from iot_pipeline.errors import ConfigurationError

OBJECTS = "i=85"


class Policy(StrEnum):
    """Security policies; those that OPC UA has deprecated (Basic128Rsa15, Basic256) are left out."""

    NONE = "None"
    BASIC256_SHA256 = "Basic256Sha256"
    AES128_SHA256 = "Aes128Sha256RsaOaep"
    AES256_SHA256 = "Aes256Sha256RsaPss"


class Mode(StrEnum):
    """What a policy does with messages."""

    SIGN = "Sign"
    SIGN_AND_ENCRYPT = "SignAndEncrypt"


def _node_id(text: str) -> str:
    try:
        ua.NodeId.from_string(text)
    except (ua.UaError, ValueError) as error:
        raise ValueError(f"{text!r} is no node id; write ns=2;s=Name, nsu=http://vendor/;i=1001 or i=85") from error
    return text


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "opc.tcp" or not parts.hostname:
        raise ValueError("expected opc.tcp://host[:port][/path]")
    if parts.username or parts.password:
        raise ValueError("put the user into `user: {name: ..., password_env: ...}`, not into the URL")
    return url


def _from_text(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


NodeText = Annotated[str, AfterValidator(_node_id)]


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeEntry(Part):
    """A variable to collect; what is not told comes from the server."""

    id: NodeText
    device: str | None = Field(default=None, min_length=1, description="Default: the server's `device` template.")
    metric: str | None = Field(default=None, min_length=1, description="Default: the variable's browse name.")
    unit: str | None = Field(default=None, description="Default: the variable's EngineeringUnits.")


class BrowseEntry(Part):
    """All variables below a node."""

    start: NodeText = OBJECTS
    include: tuple[str, ...] = Field(default=("*",), description="Globs over browse paths such as `Line/Press/I1`.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs over browse paths; win over include.")
    most: int = Field(
        default=10_000, ge=1, le=1_000_000, description="More variables than this are left out, and told."
    )


class Security(Part):
    """How the channel is protected."""

    policy: Policy = Policy.NONE
    mode: Mode = Mode.SIGN_AND_ENCRYPT
    certificate: Path | None = Field(default=None, description="Own certificate (.der, .pem); default: one is made.")
    private_key: Path | None = Field(default=None, description="Its key (.pem, .der).")
    private_key_password_env: str | None = Field(default=None, description="Variable that holds the key's password.")
    trusted: Path | None = Field(default=None, description="Folder of trusted server certificates and CAs.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` belong together: give both, or neither to have one made")
        return self


class User(Part):
    """Who logs on."""

    name: str = Field(min_length=1)
    password_env: str = Field(description="Environment variable that holds the password.")
    clear_password: bool = Field(default=False, description="Send it even where nothing would encrypt it.")


class ServerConfig(Part):
    """One server and what is collected from it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="Part of the topic: `opcua/<name>`.")
    url: Annotated[str, AfterValidator(_url)]
    nodes: tuple[Annotated[NodeEntry, BeforeValidator(_from_text)], ...] = ()
    browse: tuple[BrowseEntry, ...] = ()
    device: str = Field(
        default="{server}/{path}",
        pattern=r"^([^{}]|\{(server|path|parent)\})+$",
        description="Template; {path} is the browse path of the variable's parent, {parent} its last part.",
    )
    publishing_interval_ms: float = Field(default=500, ge=10, le=60_000)
    sampling_interval_ms: float = Field(default=100, ge=0, le=3_600_000, description="0: as fast as the server can.")
    queue_size: int = Field(default=100, ge=1, le=100_000, description="Changes that the server keeps for each node.")
    history_lag_s: float = Field(
        default=60, ge=0, le=3600, description="Its history knows a value that long after it was heard, at the latest."
    )
    security: Security = Security()
    user: User | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.nodes and not self.browse:
            raise ValueError("either `nodes` or `browse` must say what is collected")
        return self

    @property
    def topic(self) -> str:
        """Topic under which its changes are landed."""
        return f"opcua/{self.name}"


class OpcuaConfig(Part):
    """The whole file."""

    application_uri: str | None = Field(default=None, description="Must be the URI in the client's certificate.")
    servers: tuple[ServerConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [server.name for server in self.servers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"servers: the names {', '.join(twice)} are used more than once")
        return self


def secret(variable: str) -> SecretStr:
    """The secret in an environment variable. Raises ConfigurationError when it is not set."""
    value = os.environ.get(variable)
    if value is None:
        raise ConfigurationError(f"the environment variable {variable} is not set; the OPC UA configuration names it")
    return SecretStr(value)


def load_config(path: Path) -> OpcuaConfig:
    """Read and check the file.

    Raises:
        ConfigurationError: names the file, the key, what was received and what is valid.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = OpcuaConfig.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"IOT_OPCUA: {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problems = [_describe(problem["loc"], problem["msg"], problem["type"]) for problem in error.errors()]
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems)) from error
    for server in config.servers:
        names = [server.security.private_key_password_env, server.user.password_env if server.user else None]
        for name in filter(None, names):
            secret(name)
    return config


def _describe(location: tuple[int | str, ...], message: str, kind: str) -> str:
    key = ".".join(str(part) for part in location) or "file"
    text = f"{key}: {message.removeprefix('Value error, ')}"
    if kind != "extra_forbidden":
        return text
    model: type[BaseModel] = OpcuaConfig
    for part in location[:-1]:
        model = _PARTS.get(str(part), model)
    return f"{text}; valid keys are: {', '.join(model.model_fields)}"


_PARTS: dict[str, type[BaseModel]] = {
    "servers": ServerConfig,
    "nodes": NodeEntry,
    "browse": BrowseEntry,
    "security": Security,
    "user": User,
}
