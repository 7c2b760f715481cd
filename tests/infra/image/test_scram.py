"""A verifier is the one that PostgreSQL would have made, and servers take it."""

from __future__ import annotations

from base64 import b64encode

import pg8000.native
import pytest
import scramp
from hypothesis import given, settings, strategies
from pooler.scram import verifier

from broker.local.postgres import Postgres

plain = strategies.text(strategies.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@settings(max_examples=20, deadline=None)  # 4096 rounds each
@given(plain, strategies.binary(min_size=16, max_size=16))
def test_it_is_what_another_implementation_makes_of_the_same_salt(text: str, salt: bytes) -> None:
    _, stored, server, rounds = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
        text, salt=salt
    )
    encoded = [b64encode(part).decode() for part in (salt, stored, server)]
    assert verifier(text, salt) == f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def test_every_one_has_a_salt_of_its_own() -> None:
    assert verifier("same") != verifier("same")


@pytest.mark.parametrize("password", ["pencil", " a b ", "quo\"te'\\", "x" * 200])
def test_postgresql_takes_it_as_a_password_and_lets_the_password_in(
    postgres: Postgres, password: str
) -> None:
    role = f"scram_{abs(hash(password))}"
    postgres.create_role(role, verifier(password))
    sql = "select rolpassword from pg_authid where rolname = :role"
    assert postgres.admin(sql, role=role)[0][0].startswith("SCRAM-SHA-256$4096:")
    for given_password, right in ((password, True), (password + "x", False)):
        try:
            pg8000.native.Connection(
                role, host=postgres.host, port=postgres.port, password=given_password,
                database="postgres", ssl_context=False,
            ).close()  # fmt: skip
        except pg8000.native.DatabaseError as error:
            assert not right, error
        else:
            assert right
    postgres.admin(f"drop role {role}")


def test_what_would_have_to_be_prepared_first_is_left_to_the_server() -> None:
    """SASLprep makes ª an a, for one: a verifier of the bare text would let nobody in."""
    assert verifier("caf\u00e9") == "caf\u00e9"
