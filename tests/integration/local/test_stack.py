"""The local stack runs the plan: what is rendered for AWS, but for hosts, files and TLS."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from broker import AuthenticationFailed, Broker, UsageError
from broker.local.demo_plan import demo_plan
from broker.local.process import LOOPBACK
from broker.local.stack import Stack, scram_secret
from broker.pgbouncer import render_ini
from broker.plan import make_plan, parse
from broker.settings import Flavour

# host= and port= of the database's line are among them; reasons stand above the settings.
WHERE_IT_RUNS = {
    "appdb", "listen_addr", "listen_port", "auth_file", "admin_users", "unix_socket_dir",
    "server_tls_sslmode", "server_tls_ca_file",
    "client_tls_sslmode", "client_tls_cert_file", "client_tls_key_file",
}  # fmt: skip


def changed(before: str, after: str) -> set[str]:
    """Return the keys of the lines that differ, whichever side has them."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    differing = [line[2:] for line in lines if line[:2] in ("- ", "+ ")]
    return {line.split(" = ")[0] for line in differing if not line.startswith(";")}


def test_the_stack_runs_what_is_rendered_for_aws_but_for_where_it_runs() -> None:
    deployed = render_ini(demo_plan())
    with Stack() as stack:
        local = stack.pgbouncer.ini_file.read_text()
        shown = {row["key"]: row["value"] for row in stack.pgbouncer.admin("SHOW CONFIG")}
    assert changed(deployed, local) == WHERE_IT_RUNS
    line, planned = (
        next(each for each in text.splitlines() if each.startswith("appdb = "))
        for text in (local, deployed)
    )
    assert line.split(" dbname=")[1] == planned.split(" dbname=")[1] != ""
    for name in ("default_pool_size", "reserve_pool_size", "max_client_conn"):
        assert shown[name] == str(demo_plan().whole(name)), name


@pytest.mark.parametrize(
    ("broker", "said"),
    [('pairs = ["a/b", "c/d"]', "t.toml: broker.pairs: the local stack runs one pair, not 2"),
     ('flavour = "direct"', 't.toml: broker.flavour = "direct": the local stack runs PgBouncer')],
)  # fmt: skip
def test_a_plan_that_it_cannot_run_is_refused_in_one_line(broker: str, said: str) -> None:
    plan = make_plan(parse(f"[database]\nmax_connections = 100\n[broker]\n{broker}", "t.toml"))
    with pytest.raises(UsageError, match=re.escape(said)), Stack(plan=plan):
        pass


def test_the_two_hops_have_a_name_and_a_password_each() -> None:
    with Stack() as stack:
        pooled, direct = (stack.settings(each) for each in (Flavour.PGBOUNCER, Flavour.DIRECT))
        for settings in (pooled, direct):
            with Broker(settings) as db:
                assert db.run("select current_user::text as who").scalar() == "app"
        assert (pooled.user, direct.user) == ("app_client", "app")
        for wrong in (
            replace(pooled, port=direct.port),
            replace(direct, user=pooled.user),
            replace(pooled, password=direct.password),
        ):
            with Broker(wrong) as db, pytest.raises(AuthenticationFailed):
                db.run("select 1")
        sql = "select setconfig from pg_db_role_setting join pg_roles r on r.oid = setrole"
        ((timeouts,),) = stack.postgres.admin(sql)
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        assert f"{name}={demo_plan().whole(name)}s" in timeouts


def test_a_secret_is_what_rfc_5803_says() -> None:
    """Worked out here once more, with hashlib alone."""
    rounds_and_salt, keys = scram_secret("pencil").removeprefix("SCRAM-SHA-256$").split("$")
    rounds, salt = rounds_and_salt.split(":")
    stored, server = (b64decode(key) for key in keys.split(":"))
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", b64decode(salt), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client_key).digest() == stored
    assert hmac.digest(salted, b"Server Key", "sha256") == server


def test_it_listens_on_loopback_alone_and_no_argument_is_a_password() -> None:
    with Stack() as stack:
        ((addresses,),) = stack.postgres.admin("show listen_addresses")
        shown = {row["key"]: row["value"] for row in stack.pgbouncer.admin("SHOW CONFIG")}
        assert addresses == shown["listen_addr"] == LOOPBACK
        for server in (stack.postgres, stack.pgbouncer):
            started = Path(f"/proc/{server.pid}/cmdline").read_text()
            for password in (stack.password, stack.client_password):
                assert password not in started + server.log_tail(1_000) + repr(server)
