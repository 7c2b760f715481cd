"""What is decided, for servers that are not here: PostgreSQL 13 to 18, with and without RDS."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.local.postgres import Postgres
from lambdas.provisioner.facts import Facts, Found, Privileges
from lambdas.provisioner.refusal import Refused
from lambdas.provisioner.scram import verifier
from lambdas.provisioner.statements import (
    grants_in,
    groups_of,
    identifier,
    literal,
    roles_to_make,
)
from lambdas.provisioner.wanted import Kind, Role

APP = Role("app", Kind.APP, "appdb", 25, {"statement_timeout": "29s"}, "arn")
VERIFIERS = {"app": "SCRAM-SHA-256$4096:salt$stored:server"}
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30)


def facts(version: int = 160_004, *, rds: bool = True, **roles: Found) -> Facts:
    return Facts("master", version, rds, frozenset({"postgres"}), roles)


def sql(role: Role, told: Facts, before: tuple[Role, ...] = ()) -> list[str]:
    return [s.sql for s in roles_to_make((role,), before, VERIFIERS, told)]


def test_a_role_is_created_marked_bounded_and_given_its_defaults():
    assert sql(APP, facts()) == [
        'create role "app" login connection limit 25 password '
        "'SCRAM-SHA-256$4096:salt$stored:server'",
        "comment on role \"app\" is 'made by lambda-pg-broker'",
        'alter role "app" set "statement_timeout" to \'29s\'',
    ]


def test_a_role_that_is_as_it_should_be_only_gets_its_password_again():
    """Nobody but a superuser can see whether it is the same."""
    found = Found(connection_limit=25, settings={"statement_timeout": "29s"})

    (only,) = sql(APP, facts(app=found))
    assert only.startswith('alter role "app" login connection limit 25 password')


def test_with_iam_a_role_that_is_as_it_should_be_is_left_alone():
    iam = Role("app", Kind.APP, "appdb", 25)
    found = Found(connection_limit=25, groups=frozenset({"rds_iam"}))

    assert roles_to_make((iam,), (), {}, facts(app=found)) == []


@pytest.mark.parametrize("version", [130_000, 140_000, 150_000])
def test_before_postgres_16_there_are_no_reserved_connections_to_use(version):
    monitor = Role("m", Kind.MONITOR, "appdb", secret_arn="arn")

    assert groups_of(monitor, facts(version)) == ("pg_monitor",)
    assert groups_of(monitor, facts(160_000)) == ("pg_monitor", "pg_use_reserved_connections")


def test_without_rds_there_is_no_rds_iam_to_grant():
    iam = Role("app", Kind.APP, "appdb")

    assert groups_of(iam, facts()) == ("rds_iam",)
    assert groups_of(iam, facts(rds=False)) == ()


def test_a_kind_that_changes_takes_its_groups_back_and_nobody_elses():
    was = Role("r", Kind.REAPER, "appdb", secret_arn="arn")
    now = Role("r", Kind.MONITOR, "appdb", secret_arn="arn")
    found = Found(groups=frozenset({"pg_monitor", "pg_signal_backend", "theirs"}))

    statements = [s.sql for s in roles_to_make((now,), (was,), {}, facts(r=found))]
    assert statements == [
        'grant pg_use_reserved_connections to "r"',
        'revoke pg_signal_backend from "r"',
    ]


def test_an_app_is_granted_what_it_lacks_and_a_monitor_never_writes():
    nothing = Privileges(connect=False, usage=False, create=False)
    monitor = Role("m", Kind.MONITOR, "appdb", secret_arn="arn")

    assert [s.sql for s in grants_in("app db", APP, nothing)] == [
        'grant connect on database "app db" to "app"',
        'grant usage on schema public to "app"',
        'grant create on schema public to "app"',
    ]
    assert len(grants_in("appdb", monitor, nothing)) == 1
    everything = Privileges(connect=True, usage=True, create=True)  # by PUBLIC, before 15
    assert grants_in("appdb", APP, everything) == []


@given(text=TEXT.filter(bool))
def test_a_quoted_text_ends_where_it_should(text):
    assert identifier(text)[1:-1].replace('""', "").count('"') == 0
    inner = literal(text).removeprefix(" E")[1:-1]
    assert inner.replace("''", "").count("'") == 0


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_whatever_is_quoted_comes_back_as_it_was(postgres: Postgres, conforming):
    connection = postgres.connect()
    try:
        connection.run(f"set standard_conforming_strings = {conforming}")
        connection.run("set escape_string_warning = off")
        for text in ("it's", "a\\b", "\\'; drop table x; --", '"', "$1 :n", "ü\n\t", "E'x'"):
            row = connection.run(f"select {literal(text)} as {identifier(text)}")
            assert (row[0][0], connection.columns[0]["name"]) == (text, text)
    finally:
        connection.close()


def test_statements_show_their_words_and_not_their_text():
    shown = repr(roles_to_make((APP,), (), VERIFIERS, facts()))

    assert "create role app" in shown
    assert "SCRAM" not in shown


def test_each_verifier_has_a_salt_of_its_own_and_is_the_one_that_postgres_makes(
    postgres: Postgres,
):
    postgres.create_role("salted", "sécret \\ '")
    read = "select rolpassword from pg_authid where rolname = 'salted'"
    theirs = postgres.admin(read)[0][0]
    salt = b64decode(theirs.split("$")[1].partition(":")[2])
    postgres.admin("drop role salted")

    assert verifier("sécret \\ '", salt) == theirs
    assert verifier("secret") != verifier("secret")


def test_a_password_that_scram_forbids_is_refused_and_not_quoted():
    with pytest.raises(Refused, match="RFC 4013") as raised:
        verifier("hunter\u0007")
    assert "hunter" not in str(raised.value)
