"""Certificates: our own, made when none is given, and whether a server's is trusted.

An unknown server certificate is refused and kept aside, so that a person can look at it and trust it by
moving one file. No sessions here.
"""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import structlog
from asyncua import Client, ua
from asyncua.crypto import cert_gen, security_policies
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.files import write_bytes
from iot_pipeline.sources.opcua.config import Policy, Security, ServerConfig, secret

log = structlog.get_logger(__name__)

CERTIFICATE = "client.der"
KEY = "client.pem"
VALID_DAYS = 5 * 365
POLICIES = {
    Policy.NONE: security_policies.SecurityPolicyNone,
    Policy.BASIC256_SHA256: security_policies.SecurityPolicyBasic256Sha256,
    Policy.AES128_SHA256: security_policies.SecurityPolicyAes128Sha256RsaOaep,
    Policy.AES256_SHA256: security_policies.SecurityPolicyAes256Sha256RsaPss,
}


class UntrustedServer(ConfigurationError):
    """The server showed a certificate that nobody has trusted yet. No password was sent."""


def default_application_uri() -> str:
    """Names this client on this machine."""
    return f"urn:{socket.gethostname()}:iot-pipeline:collector"


async def secure(client: Client, config: ServerConfig, folder: Path) -> None:
    """Prepare `client` for the policy of `config`, and see that a password would not travel in clear.

    Raises:
        UntrustedServer: says where the certificate was put and what to do.
        ConfigurationError: a certificate or key of ours cannot be used.
        ua.UaError, OSError: the server does not answer, or does not offer the policy.
    """
    security = config.security
    policy = POLICIES[security.policy]
    encrypted = security.policy is not Policy.NONE
    mode = ua.MessageSecurityMode[security.mode.value] if encrypted else ua.MessageSecurityMode.None_
    endpoints = await client.connect_and_get_server_endpoints()
    try:
        endpoint = Client.find_endpoint(endpoints, mode, policy.URI)
    except ua.UaError as error:
        wanted = f"{security.policy}/{security.mode}" if encrypted else "None"
        raise ConfigurationError(
            f"server {config.name!r} does not offer {wanted}; it offers: {_offers(endpoints)}"
        ) from error
    if config.user is not None and not config.user.clear_password and not _hides_password(endpoint):
        raise ConfigurationError(
            f"server {config.name!r} would get the password in clear, so it was not sent; choose a security policy "
            f"(it offers: {_offers(endpoints)}) or say `user: {{clear_password: true}}`"
        )
    if not encrypted:
        return
    certificate = x509.load_der_x509_certificate(_first(endpoint.ServerCertificate))
    check_trust(config.name, certificate, security.trusted or folder / "trusted", folder / "rejected")
    own, key = own_pair(security, folder, client.application_uri)
    password = security.private_key_password_env
    try:
        await client.set_security(
            policy,
            own,
            key,
            secret(password).get_secret_value() if password else None,
            certificate.public_bytes(Encoding.DER),
            mode,
        )
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"certificate {own} and key {key} cannot be used: {error}") from error


def own_pair(security: Security, folder: Path, application_uri: str) -> tuple[Path, Path]:
    """Certificate and key of ours; a self-signed pair is made when none is configured and none is there."""
    if security.certificate is not None and security.private_key is not None:
        return security.certificate, security.private_key
    certificate, key = folder / CERTIFICATE, folder / KEY
    if not _still_good(certificate, application_uri) or not key.exists():
        _make_pair(certificate, key, application_uri)
        log.warning(
            "opcua_client_certificate_made",
            file=str(certificate),
            fingerprint=fingerprint(x509.load_der_x509_certificate(certificate.read_bytes())),
            to_do="let each server trust it",
        )
    return certificate, key


def _still_good(path: Path, application_uri: str) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_der_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = application_uri in names.get_values_for_type(x509.UniformResourceIdentifier)
    return known and certificate.not_valid_after_utc > datetime.now(UTC)


def _make_pair(certificate: Path, key: Path, application_uri: str) -> None:
    private = cert_gen.generate_private_key()
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(application_uri),
        x509.DNSName(socket.gethostname()),
    ]
    use = [ExtendedKeyUsageOID.CLIENT_AUTH]
    made = cert_gen.generate_self_signed_app_certificate(private, application_uri, {}, names, use, days=VALID_DAYS)
    key.parent.mkdir(parents=True, exist_ok=True)
    key.unlink(missing_ok=True)
    # Never readable by others, not even for a moment.
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(cert_gen.dump_private_key_as_pem(private))
    write_bytes(made.public_bytes(Encoding.DER), certificate)


def check_trust(server: str, certificate: x509.Certificate, trusted: Path, rejected: Path) -> None:
    """Accept a certificate that lies in `trusted`, or was issued by a CA that does, and is valid today.

    Raises:
        UntrustedServer: otherwise; an unknown certificate is written to `rejected`.
    """
    print_ = fingerprint(certificate)
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UntrustedServer(
            f"the certificate of server {server!r} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, not today; renew it on the server. SHA-256 {print_}"
        )
    if any(_vouches(known, certificate) for known in _certificates(trusted)):
        return
    name = f"{server}-{print_[:16].replace(':', '')}.der"
    write_bytes(certificate.public_bytes(Encoding.DER), rejected / name)
    raise UntrustedServer(
        f"the certificate of server {server!r} is not trusted (subject {certificate.subject.rfc4514_string()}, "
        f"SHA-256 {print_}). Compare the fingerprint with the server's own; if it is the same: "
        f"mkdir -p {trusted} && mv {rejected / name} {trusted}/"
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in the form in which servers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _certificates(folder: Path) -> Iterator[x509.Certificate]:
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in {".der", ".pem", ".crt", ".cer"}:
            continue
        content = path.read_bytes()
        try:
            yield from (
                x509.load_pem_x509_certificates(content)
                if content.startswith(b"-----BEGIN")
                else [x509.load_der_x509_certificate(content)]
            )
        except ValueError as error:
            log.warning("opcua_certificate_unreadable", file=str(path), reason=str(error))


def _vouches(known: x509.Certificate, certificate: x509.Certificate) -> bool:
    if known == certificate:
        return True
    try:
        if not known.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(known)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return known.not_valid_before_utc <= datetime.now(UTC) <= known.not_valid_after_utc


def _first(chain: bytes) -> bytes:
    """The first certificate of a DER chain: the server's own. Its length is in bytes 2 and 3."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4]


def _hides_password(endpoint: ua.EndpointDescription) -> bool:
    """Whether channel or token is encrypted (OPC 10000-4, 7.40.2: a token without a policy has the channel's)."""
    if endpoint.SecurityMode is ua.MessageSecurityMode.SignAndEncrypt:
        return True
    tokens = [token for token in endpoint.UserIdentityTokens if token.TokenType is ua.UserTokenType.UserName]
    none = (None, "", security_policies.SecurityPolicyNone.URI)
    if endpoint.SecurityMode is ua.MessageSecurityMode.Sign:
        none = (security_policies.SecurityPolicyNone.URI,)  # type: ignore[assignment]
    return all(token.SecurityPolicyUri not in none for token in tokens)


def _offers(endpoints: list[ua.EndpointDescription]) -> str:
    offers = {f"{end.SecurityPolicyUri.rpartition('#')[2]}/{end.SecurityMode.name.rstrip('_')}" for end in endpoints}
    return ", ".join(sorted(offers))
