"""Certificates that Python's own ssl accepts in a real handshake, in its strictest mode."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from moto import mock_aws

from lambdas.provisioner.certificate import Certificate, make_so
from lambdas.provisioner.certificates import (
    AUTHORITY_DAYS,
    SERVER_DAYS,
    Pair,
    Why,
    issue,
    new_authority,
    why_new,
)
from lambdas.provisioner.refusal import Refused
from lambdas.provisioner.vault import Vault

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = ("localhost", "broker.example", "*.elb.example")


@pytest.fixture(scope="module")
def authority() -> Pair:
    return new_authority("orders", NOW)


def handshake(server: Pair, ca: str, name: str, folder: Path) -> dict[str, Any]:
    """Shake hands on loopback, as a function and the pooler do; return the server's certificate."""
    chain = folder / "server.pem"
    chain.write_text(server.certificate + server.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain)
    client = ssl.create_default_context(cadata=ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with serving.wrap_socket(connection, server_side=True) as tls:
                    tls.sendall(b"x")
            except (ssl.SSLError, OSError):
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=30) as plain,
                client.wrap_socket(plain, server_hostname=name) as tls,
            ):
                assert tls.recv(1) == b"x"
                told: dict[str, Any] = tls.getpeercert() or {}
                return told
        finally:
            thread.join(30)


@pytest.mark.parametrize("name", ["localhost", "broker.example", "nlb-1.elb.example"])
def test_a_function_that_trusts_the_authority_accepts_the_certificate(
    authority: Pair, name: str, tmp_path: Path
) -> None:
    told = handshake(issue(authority, NAMES, NOW), authority.certificate, name, tmp_path)

    assert told["subjectAltName"] == tuple(("DNS", each) for each in NAMES)


def test_another_name_and_another_authority_are_refused(authority: Pair, tmp_path: Path) -> None:
    server = issue(authority, NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        handshake(server, authority.certificate, "other.example", tmp_path)
    other = new_authority("orders", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, other.certificate, "localhost", tmp_path)


def test_the_servers_key_is_no_authority(authority: Pair, tmp_path: Path) -> None:
    """Who gets hold of it can be that one server and no other."""
    server = issue(authority, NAMES, NOW)
    forged = issue(server, ["evil.example"], NOW - timedelta(days=1))
    chained = Pair(forged.certificate + server.certificate, forged.key)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(chained, authority.certificate, "evil.example", tmp_path)


def test_both_last_as_long_as_they_should(authority: Pair) -> None:
    ca = x509.load_pem_x509_certificate(authority.certificate.encode())
    server = x509.load_pem_x509_certificate(issue(authority, NAMES, NOW).certificate.encode())

    assert ca.not_valid_after_utc == NOW + timedelta(days=AUTHORITY_DAYS)
    assert server.not_valid_after_utc == NOW + timedelta(days=SERVER_DAYS)
    assert server.not_valid_before_utc < NOW


def test_keys_show_in_no_repr(authority: Pair) -> None:
    assert "PRIVATE" in authority.key
    assert "PRIVATE" not in repr(authority)


@pytest.mark.parametrize(
    ("days", "names", "why"),
    [
        (0, NAMES, None),
        (0, tuple(reversed(NAMES)), None),
        (SERVER_DAYS - 31, NAMES, None),
        (SERVER_DAYS - 30, NAMES, Why.ENDS_SOON),
        (SERVER_DAYS + 1, NAMES, Why.ENDS_SOON),
        (0, (*NAMES, "more.example"), Why.OTHER_NAMES),
        (0, NAMES[:1], Why.OTHER_NAMES),
    ],
)
def test_a_certificate_does_until_it_ends_soon_or_the_names_change(
    authority: Pair, days: int, names: tuple[str, ...], why: Why | None
) -> None:
    server = issue(authority, NAMES, NOW)

    assert why_new(server, authority, names, NOW + timedelta(days=days), 30) is why


def test_none_one_that_is_damaged_and_another_authoritys_are_replaced(authority: Pair) -> None:
    server = issue(authority, NAMES, NOW)
    for current, why in (
        (None, Why.NONE_YET),
        (Pair("nonsense", server.key), Why.UNREADABLE),
        (Pair(server.certificate, ""), Why.UNREADABLE),
        (issue(new_authority("orders", NOW), NAMES, NOW), Why.OTHER_AUTHORITY),
    ):
        assert why_new(current, authority, NAMES, NOW, 30) is why


def test_an_authority_that_is_near_its_end_says_so_and_what_to_do(authority: Pair) -> None:
    late = NOW + timedelta(days=AUTHORITY_DAYS - SERVER_DAYS + 1)
    with pytest.raises(Refused, match="empty its secret"):
        issue(authority, NAMES, late)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


@pytest.fixture
def wanted(client: Any) -> Certificate:
    """Return one for two secrets as CloudFormation leaves them: without any version."""
    server, ca = (client.create_secret(Name=name)["ARN"] for name in ("server", "ca"))
    return Certificate(server, ca, NAMES, 30)


def test_the_first_time_all_is_made_and_the_authoritys_key_stays_in_its_own_secret(
    client: Any, wanted: Certificate, tmp_path: Path
) -> None:
    ca, why = make_so(wanted, Vault(client), NOW)

    held = json.loads(Vault(client).text(wanted.secret_arn))
    kept = json.loads(Vault(client).text(wanted.ca_secret_arn))
    assert why is Why.NONE_YET
    assert set(held) == {"certificate", "key", "ca"}
    assert held["ca"] == kept["ca"] == ca
    assert kept["key"] not in json.dumps(held)
    handshake(Pair(held["certificate"], held["key"]), ca, "localhost", tmp_path)


def test_the_second_time_nothing_is_written(client: Any, wanted: Certificate) -> None:
    ca, _ = make_so(wanted, Vault(client), NOW)
    before = [client.get_secret_value(SecretId=arn)["VersionId"] for arn in _arns(wanted)]

    assert make_so(wanted, Vault(client), NOW + timedelta(days=1)) == (ca, None)
    after = [client.get_secret_value(SecretId=arn)["VersionId"] for arn in _arns(wanted)]
    assert before == after


def test_renewal_keeps_the_authority_so_functions_go_on_trusting(
    client: Any, wanted: Certificate
) -> None:
    vault = Vault(client)
    ca, _ = make_so(wanted, vault, NOW)
    old = vault.text(wanted.secret_arn)

    again, why = make_so(wanted, vault, NOW + timedelta(days=SERVER_DAYS - 29))

    assert (again, why) == (ca, Why.ENDS_SOON)
    new = json.loads(vault.text(wanted.secret_arn))
    assert new["key"] not in old
    x509.load_pem_x509_certificate(new["certificate"].encode()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(ca.encode())
    )


def test_what_cloudformation_generated_is_replaced_and_a_damaged_authority_is_not(
    client: Any, wanted: Certificate
) -> None:
    client.put_secret_value(SecretId=wanted.secret_arn, SecretString="generated")
    ca, _ = make_so(wanted, Vault(client), NOW)
    assert "BEGIN" in ca

    other = new_authority("x", NOW)
    client.put_secret_value(
        SecretId=wanted.ca_secret_arn, SecretString=json.dumps({"ca": ca, "key": other.key})
    )
    with pytest.raises(Refused, match="restore its previous version") as raised:
        make_so(wanted, Vault(client), NOW)
    assert "PRIVATE" not in str(raised.value)


def test_a_secret_that_is_not_there_is_an_error_and_not_an_empty_one(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        Vault(client).read("arn:aws:secretsmanager:eu-west-1:123456789012:secret:no-AbCdEf")


def _arns(wanted: Certificate) -> tuple[str, str]:
    return wanted.secret_arn, wanted.ca_secret_arn
