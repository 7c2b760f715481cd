"""Every method that PostgreSQL asks a password by, as the server itself checks it."""

from __future__ import annotations

import hmac
import itertools
from base64 import b64decode
from collections.abc import Callable, Iterator
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from broker import AuthenticationFailed, BrokerError
from broker.deadline import SYSTEM_CLOCK, Deadline
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Settings, Tls
from broker.wire import connect, scram, tls_context
from broker.wire.saslprep import prepared
from tests.conftest import Database, need_postgres_tls

numbers = itertools.count(1)
PASSWORDS = [
    "pencil",
    'p"ass word\\',
    "påsswörd",
    "e\u0301",  # it is normalized: é
    "I\u00adX",  # SASLprep drops the soft hyphen
    "a\u00a0b",
    "a\u200bb",
    "\u2168",
    "\u0627\u0031",  # prohibited, so used as it is
    "пароль",
    "密码🔑",
]


def logged_in(server: Any, user: str, password: str, **changes: Any) -> Any:
    """Return the name under which the server knows the session."""
    given: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "tls": Tls.OFF, **changes}
    database = given.pop("database", "postgres")
    wanted = Settings(database=database, user=user, password=password, **given)
    deadline = Deadline.after(20)
    session = connect(wanted, password, tls_context(wanted), deadline, SYSTEM_CLOCK)
    try:
        return session.execute(b"select current_user::text", [()], deadline, rides=False).rows[0][0]
    finally:
        session.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a server whose pg_hba.conf the tests may change."""
    with Postgres() as running:
        yield running


@pytest.fixture(scope="module")
def secure() -> Iterator[Postgres]:
    """Run a server with TLS whose pg_hba.conf the tests may change."""
    need_postgres_tls()
    with Postgres(tls=True) as running:
        yield running


def role(server: Postgres, password: str, method: str, encryption: str = "scram-sha-256") -> str:
    """Return a new role that logs in by this method."""
    name = f"role_{next(numbers)}"
    literal = password.replace("'", "''")
    server.admin(
        f"set password_encryption = '{encryption}'; create role {name} login password '{literal}'"
    )
    hba = Path(str(server.admin("show hba_file")[0][0]))
    hba.write_text(f"host all {name} 127.0.0.1/32 {method}\n{hba.read_text()}")
    server.admin("select pg_reload_conf()")
    return name


@pytest.mark.parametrize("password", PASSWORDS)
def test_scram_takes_every_password_as_the_server_does(server: Postgres, password: str) -> None:
    name = role(server, password, "scram-sha-256")

    assert logged_in(server, name, password) == name


ODD = (
    "aZ1 \u00a0\u200b\u00ad\u00aa\u2122\u2168\u0627\u0628\ufe8d\u32cc\u0221\u0301e\u0007\ue000"
    "\ufffd\u2028\u202e\u0340\u1680\u3000\u06dd\u070f\u2060\ufeff\u00b2\u2460\U0001d7d8🔑\u05d0\ufb4f\ufb1d"
)


def test_passwords_are_prepared_as_the_server_prepares_them(server: Postgres) -> None:
    """Its verifier tells: salt, iterations, and a hash of the key that is derived."""
    name = role(server, "pencil", "scram-sha-256")
    random = Random(5)
    admin = server.connect()
    admin.run("set scram_iterations = 1")
    passwords = [*ODD, *("".join(random.choices(ODD, k=1 + n % 4)) for n in range(1000))]
    wrong = []
    for password in passwords:
        admin.run(f"alter role {name} password '{password}'")
        (stored,) = admin.run(f"select rolpassword from pg_authid where rolname = '{name}'")
        if not fits(str(stored[0]), prepared(password)):
            wrong.append(ascii(password))
    admin.close()

    assert wrong == []


def fits(verifier: str, password: bytes) -> bool:
    """Whether a SCRAM verifier is that of this password, as it was prepared."""
    _, parameters, keys = verifier.split("$")
    iterations, salt = parameters.split(":")
    salted = pbkdf2_hmac("sha256", password, b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return sha256(client_key).digest() == b64decode(keys.partition(":")[0])


@pytest.mark.parametrize("password", ["pencil", "påsswörd", "密码🔑"])
def test_an_md5_password_is_taken(server: Postgres, password: str) -> None:
    name = role(server, password, "md5", "md5")

    assert logged_in(server, name, password) == name


@pytest.mark.parametrize("password", ["pencil", "påsswörd", "密码🔑"])
def test_a_password_in_clear_is_taken(server: Postgres, password: str) -> None:
    name = role(server, password, "password")

    assert logged_in(server, name, password) == name


def test_where_the_server_trusts_no_password_is_sent(server: Postgres) -> None:
    name = role(server, "pencil", "trust")

    assert logged_in(server, name, "anything") == name


@pytest.mark.parametrize(
    ("method", "encryption"),
    [("scram-sha-256", "scram-sha-256"), ("md5", "md5"), ("password", "scram-sha-256")],
)
def test_a_wrong_password_is_refused_by_the_server(
    server: Postgres, method: str, encryption: str
) -> None:
    name = role(server, "pencil", method, encryption)
    with pytest.raises(AuthenticationFailed) as raised:
        logged_in(server, name, "wrong-secret")

    assert raised.value.sqlstate == "28P01"
    assert "wrong-secret" not in f"{raised.value} {raised.value!r}"


def test_a_user_whom_the_server_rejects_is_told_so(server: Postgres) -> None:
    name = role(server, "pencil", "reject")
    with pytest.raises(AuthenticationFailed, match="pg_hba") as raised:
        logged_in(server, name, "pencil")

    assert raised.value.sqlstate == "28000"


@pytest.fixture
def mechanisms(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep which mechanism each login used."""
    used: list[str] = []
    final = scram.ScramClient.final

    def keep(client: scram.ScramClient, server_first: bytes) -> bytes:
        used.append(client.mechanism)
        return final(client, server_first)

    monkeypatch.setattr(scram.ScramClient, "final", keep)
    return used


@pytest.mark.parametrize("tls", [Tls.REQUIRE, Tls.VERIFY_FULL])
def test_over_tls_the_login_is_bound_to_the_servers_certificate(
    secure: Postgres, mechanisms: list[str], tls: Tls
) -> None:
    name = role(secure, "påsswörd", "scram-sha-256")
    ca = str(secure.ca_file) if tls is Tls.VERIFY_FULL else None

    assert logged_in(secure, name, "påsswörd", tls=tls, tls_ca=ca) == name
    assert mechanisms == ["SCRAM-SHA-256-PLUS"]


def test_the_server_refuses_a_login_that_is_bound_to_another_certificate(
    secure: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the binding is checked, and somebody in between could not pass the login on."""
    name = role(secure, "pencil", "scram-sha-256")
    monkeypatch.setattr(scram, "certificate_hash", lambda _: b"x" * 32)
    with pytest.raises(BrokerError, match="channel binding"):
        logged_in(secure, name, "pencil", tls=Tls.REQUIRE)


def test_the_server_sees_that_its_offer_to_bind_was_taken_away(
    secure: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = role(secure, "pencil", "scram-sha-256")
    monkeypatch.setattr(scram, "PLUS", "never offered")
    with pytest.raises(BrokerError, match="channel binding"):
        logged_in(secure, name, "pencil", tls=Tls.REQUIRE)


def test_over_tls_a_wrong_password_is_refused(secure: Postgres) -> None:
    name = role(secure, "pencil", "scram-sha-256")
    with pytest.raises(AuthenticationFailed) as raised:
        logged_in(secure, name, "wrong", tls=Tls.REQUIRE)

    assert raised.value.sqlstate == "28P01"


@pytest.mark.parametrize("auth_type", ["scram-sha-256", "md5", "plain"])
def test_a_pooler_takes_the_password_by_every_method(
    database: Database, pgbouncer: Callable[..., PgBouncer], auth_type: str
) -> None:
    pooler = pgbouncer(auth_type=auth_type)

    changes: dict[str, Any] = {"database": database.name}
    assert logged_in(pooler, database.user, database.password, **changes) == database.user
    with pytest.raises(AuthenticationFailed):
        logged_in(pooler, database.user, "wrong", **changes)


@pytest.mark.parametrize("tls", [False, True])
def test_a_pooler_is_proved_the_password_over_tls_and_without(
    database: Database, pgbouncer: Callable[..., PgBouncer], mechanisms: list[str], tls: bool
) -> None:
    pooler = pgbouncer(tls=tls)
    changes: dict[str, Any] = {"database": database.name, "tls": Tls.REQUIRE if tls else Tls.OFF}

    assert logged_in(pooler, database.user, database.password, **changes) == database.user
    assert len(mechanisms) == 1
    assert mechanisms[0].startswith("SCRAM-SHA-256")
