"""Certificates, trust and users, against servers that insist on them."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

from iot_pipeline.settings import Settings
from tests.servers import wait_until
from tests.sources.opcua_plant import Plant, configured, connect, plant, source_for

PASSWORD = "k3ep-secret"
USER = {"name": "operator", "password_env": "TEST_PLANT_PASSWORD"}
SECURITY = {"policy": "Basic256Sha256", "mode": "SignAndEncrypt"}


class OneUser:
    def get_user(
        self,
        _server: object,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,  # noqa: ARG002 -- asyncua passes it
    ) -> User | None:
        return User(role=UserRole.User) if (username, password) == ("operator", PASSWORD) else None


@pytest.fixture
def fortress(free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """A server that takes Basic256Sha256 with encryption and one user only."""
    monkeypatch.setenv("TEST_PLANT_PASSWORD", PASSWORD)
    key, certificate = tmp_path / "server.pem", tmp_path / "server.der"

    async def arm(server: Server) -> None:
        use = [ExtendedKeyUsageOID.SERVER_AUTH]
        uri = "urn:test:server"
        await server.set_application_uri(uri)
        await setup_self_signed_certificate(key, certificate, uri, socket.gethostname(), use, {})
        await server.load_certificate(str(certificate))
        await server.load_private_key(str(key))
        server.set_identity_tokens([ua.UserNameIdentityToken])
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])

    with plant(free_port, {"a": 1.0}, prepare=arm, user_manager=OneUser()) as running:
        yield running


def trust(settings: Settings) -> None:
    """What a person does with a certificate that was refused and kept aside."""
    folder = settings.paths.state / "opcua"
    [rejected] = (folder / "rejected").iterdir()
    (folder / "trusted").mkdir()
    rejected.rename(folder / "trusted" / rejected.name)


def problem_of(settings: Settings) -> str:
    with source_for(settings) as source:
        wait_until(lambda: source.poll(0.05) == [] and source.state.problem is not None, "the refusal")
        return source.state.problem or ""


def test_an_unknown_server_is_refused_until_somebody_trusts_it(
    fortress: Plant, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, fortress.url, tmp_path, browse=[{}], security=SECURITY, user=USER)
    with structlog.testing.capture_logs() as logs, source_for(settings) as source:
        wait_until(lambda: source.poll(0.05) == [] and source.state.problem is not None, "the refusal")
        problem = source.state.problem or ""
        assert "is not trusted" in problem
        assert "SHA-256" in problem
        assert "mv " in problem
        trust(settings)
        connect(source)
    key = settings.paths.state / "opcua" / "client.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert PASSWORD not in str(logs)
    assert "BEGIN" not in str(logs)


def test_our_certificate_stays_the_same_over_a_restart(fortress: Plant, settings: Settings, tmp_path: Path) -> None:
    settings = configured(settings, fortress.url, tmp_path, browse=[{}], security=SECURITY, user=USER)
    problem_of(settings)
    trust(settings)
    made = []
    for _ in range(2):
        with source_for(settings) as source:
            connect(source)
        made.append((settings.paths.state / "opcua" / "client.der").read_bytes())
    assert made[0] == made[1]


def test_a_wrong_password_is_told_and_tried_again_rarely(
    fortress: Plant, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(settings, fortress.url, tmp_path, browse=[{}], security=SECURITY, user=USER)
    problem_of(settings)
    trust(settings)
    monkeypatch.setenv("TEST_PLANT_PASSWORD", "wr0ng-secret")
    with structlog.testing.capture_logs() as logs, source_for(settings) as source:
        wait_until(lambda: source.poll(0.05) == [] and source.state.problem is not None, "the refusal")
        problem = source.state.problem or ""
        [session] = source._sessions
        assert session._logon_backoff.delay() > 60
    assert "refused the logon (user 'operator', password from TEST_PLANT_PASSWORD)" in problem
    assert "wr0ng-secret" not in problem + str(logs)


def test_a_policy_that_is_not_offered_is_told_with_those_that_are(
    fortress: Plant, settings: Settings, tmp_path: Path
) -> None:
    plain = configured(settings, fortress.url, tmp_path, browse=[{}])
    assert "does not offer None; it offers: Basic256Sha256/SignAndEncrypt" in problem_of(plain)


def test_a_password_is_not_sent_in_clear(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PLANT_PASSWORD", PASSWORD)
    with plant(free_port, {"a": 1.0}, user_manager=OneUser()) as server:
        careful = configured(settings, server.url, tmp_path, browse=[{}], user=USER)
        assert "would get the password in clear, so it was not sent" in problem_of(careful)
        bold = configured(settings, server.url, tmp_path, browse=[{}], user={**USER, "clear_password": True})
        with source_for(bold) as source:
            connect(source)
