"""The file named by IOT_OPCUA: what is accepted, and what the message says when it is not."""

from pathlib import Path

import pytest

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.settings import Settings
from iot_pipeline.sources.opcua import OpcuaSource
from iot_pipeline.sources.opcua.config import load_config

SERVER = "servers:\n- name: press\n  url: opc.tcp://10.0.0.5:4840\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "opcua.yaml"
    path.write_text(text)
    return path


def test_the_example_of_the_documentation_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "opcua.md"
    example = document.read_text().split("```yaml\n")[1].split("```")[0]
    monkeypatch.setenv("PRESS_PASSWORD", "x")
    config = load_config(written(tmp_path, example))
    assert config.servers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SERVER, "servers.0: either `nodes` or `browse` must say what is collected"),
        (SERVER + "  nodes: [Temperature]\n", "servers.0.nodes.0.id: 'Temperature' is no node id"),
        (SERVER + "  browse: [{}]\n  interval: 5\n", "valid keys are: name, url, nodes"),
        (SERVER + "  browse: [{}]\n  security: {policy: Basic256}\n", "'Basic256Sha256'"),
        (SERVER + "  browse: [{}]\n  device: '{host}'\n", "servers.0.device"),
        (SERVER + "  browse: [{}]\n  security: {certificate: a.der}\n", "belong together"),
        ((SERVER + "  browse: [{}]\n").replace("opc.tcp://", "http://"), "expected opc.tcp://host[:port][/path]"),
        ((SERVER + "  browse: [{}]\n").replace("10.0.0.5", "me:secret@h"), "into the URL"),
        (SERVER + "  browse: [{}]\n- {name: press, url: 'opc.tcp://h', browse: [{}]}\n", "more than once"),
        (
            SERVER + "  browse: [{}]\n  user: {name: me, password_env: NOT_SET_ANYWHERE}\n",
            "NOT_SET_ANYWHERE is not set",
        ),
        ("servers: []\n", "servers"),
        ("servers: [\n", "not YAML"),
        ("", "file"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_what_is_valid(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refusal:
        load_config(path)
    assert told in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_without_a_file_the_setting_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="IOT_OPCUA is not set"):
        OpcuaSource(settings)


def test_a_missing_file_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml cannot be read"):
        OpcuaSource(settings.model_copy(update={"opcua": tmp_path / "gone.yaml"}))
