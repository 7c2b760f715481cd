"""What is never printed, as docs/security.md has it: secrets anywhere, and data but where it says.

Each invocation runs in a process of its own, that shows all that can be shown of it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3  # type: ignore[import-untyped]
import click
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from broker import Broker, BrokerError, StatementError
from broker.cli.commands import Commands
from broker.cli.doctor import doctor
from broker.cli.measure import measure
from broker.cli.plan import plan
from broker.cli.reap import reap
from broker.dbapi import connect
from broker.local.pgbouncer import PgBouncer
from tests.conftest import Database
from tests.integration.test_handler import Context
from tests.lambdas import emf

NAMESPACE = "LambdaPgBroker"
ACCESS = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "the-account's-key",
    "AWS_SESSION_TOKEN": "the-session's-token",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROGRAM = Path(__file__).with_name("shown.py")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Serve Secrets Manager on loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def environ(
    database: Database, moto: str, pgbouncer: Callable[..., PgBouncer]
) -> Callable[[str, str], dict[str, str]]:
    """Return the environment of a function that logs in in this way, with this password."""

    def of(way: str, password: str) -> dict[str, str]:
        server = database.server
        given = {
            "BROKER_HOST": server.host,
            "BROKER_PORT": str(server.port),
            "BROKER_DATABASE": database.name,
            "BROKER_FLAVOUR": "direct",
            "BROKER_TLS": "off",
            "BROKER_TIMEOUT_S": "10",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_ENDPOINT_URL": moto,
            **ACCESS,
        }
        if way == "secret":
            client = boto3.client(
                "secretsmanager",
                region_name="eu-west-1",
                endpoint_url=moto,
                aws_access_key_id="a",
                aws_secret_access_key="b",
            )
            text = json.dumps({"username": database.user, "password": password})
            name = f"shown/{database.name}/{len(password)}"
            made = client.create_secret(Name=name, SecretString=text)
            return {**given, "BROKER_SECRET_ARN": made["ARN"]}
        given["BROKER_USER"] = database.user
        if way == "password":
            return {**given, "BROKER_PASSWORD": password}
        pooler = pgbouncer(tls=True)  # a token is sent over TLS alone; here nobody knows it
        tls = {"BROKER_TLS": "verify-full", "BROKER_TLS_CA": str(pooler.ca_file)}
        return {**given, **tls, "BROKER_PORT": str(pooler.port), "BROKER_AUTH": "iam"}

    return of


def written(secret: str) -> set[str]:
    """Return the ways in which a text may be written."""
    in_json, in_base64 = json.dumps(secret)[1:-1], b64encode(secret.encode()).decode()
    return {secret, repr(secret)[1:-1], in_json, quote(secret, safe=""), in_base64}


@pytest.mark.parametrize("way", ["password", "secret", "iam"])
@pytest.mark.parametrize("right", [True, False], ids=["let-in", "refused"])
def test_no_secret_is_in_all_that_a_function_can_show(
    way: str, right: bool, database: Database, environ: Callable[[str, str], dict[str, str]]
) -> None:
    """Its repr and those of all that it holds, errors, logs at DEBUG, metrics and arguments."""
    password = database.password if right else "nobody's pass:word"
    ran = subprocess.run(
        [sys.executable, PROGRAM],
        env={"PATH": os.environ["PATH"], **environ(way, password)},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = ran.stdout + ran.stderr
    assert ran.returncode == 0, shown
    let_in = right and way != "iam"
    for word in ("<Broker ", "Settings(", NAMESPACE, "arguments: ", "Traceback"):
        assert word in shown, word
    assert ("IntegrityError" if let_in else "AuthenticationFailed") in shown
    keys = (ACCESS["AWS_SECRET_ACCESS_KEY"], ACCESS["AWS_SESSION_TOKEN"], "X-Amz-Signature")
    for secret in (password, database.password, *keys):
        for text in written(secret):
            assert text not in shown


def test_an_emf_line_has_counts_times_and_names_and_nothing_of_the_statement(
    broker_to: Callable[..., Broker], database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    db = broker_to(application_name="orders", fresh_s=0.0)

    @db.handler
    def handler(event: Any, context: Any) -> None:
        assert db.run("select 'a literal', :card::text", card="4111").one()[1] == "4111"
        with db.transaction() as tx:
            tx.run_many("select :card::text", [{"card": "4111"}])
        db.run("select :card::int", card="4111 x")

    for _ in range(2):
        with pytest.raises(BrokerError):
            handler({"card": "4111"}, Context())
        database.kill_backends()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3, "two invocations, and the session that was replaced"
    for line in lines:
        document = emf.read(line)
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        metrics = {metric["Name"] for metric in directive["Metrics"]}
        words = {name: document[name] for name in set(document) - metrics - {"_aws"}}
        reason = {"reason": "ended_by_server"} if "SessionsReplaced" in metrics else {}
        assert words == {"function": "orders", "flavour": "direct", **reason}


NAMED = re.compile(r"(?<!:):(\w+)")
KEYED = "insert into paid (id, card, amount) values (:id, :card, :amount)"


@pytest.mark.parametrize(
    ("sql", "values", "quoted"),
    [
        ("select :id::int, :card::text", {"id": "no number"}, {"no number"}),
        (KEYED, {"id": 1, "amount": 7001}, {"(id)=(1)"}),
        (KEYED, {"id": 2, "amount": None}, {"amount"}),
        (KEYED, {"id": 3, "amount": -7002}, {"paid_amount_check"}),
        ("insert into small values (:id, :card, 1)", {"id": 7003}, {"small"}),
        ("insert into parted values (:id, :card)", {"id": 5}, {"(id) = (5)"}),
        ("insert into parted_1 values (:id, :card)", {"id": 7004}, {"parted_1"}),
    ],
    ids=["22P02", "23505", "23502", "23514", "44000", "23514-no-partition", "23514-partition"],
)
@pytest.mark.parametrize("face", ["native", "dbapi"])
def test_an_error_has_what_the_server_quotes_of_a_value_or_key_and_no_other_parameter(
    face: str,
    sql: str,
    values: dict[str, Any],
    quoted: set[str],
    broker_to: Callable[..., Broker],
    request: pytest.FixtureRequest,
) -> None:
    db = broker_to()
    db.run(
        "create table paid (id int primary key, card text, amount int not null check (amount > 0))"
    )
    db.run("create view small as select * from paid where id < 10 with local check option")
    db.run("create table parted (id int, card text) partition by list (id)")
    db.run("create table parted_1 partition of parted for values in (1)")
    db.run(KEYED, id=1, card="4111-1111", amount=1)
    values = {"card": "4111-1111", **values}
    with pytest.raises(StatementError) as raised:
        if face == "native":
            db.run(sql, **values)
        else:
            with connect(db) as connection:
                asked = [values[name] for name in NAMED.findall(sql)]
                connection.cursor().execute(NAMED.sub("%s", sql), asked)
    error = raised.value
    assert error.sqlstate in request.node.callspec.id
    shown = f"{error!r} {''.join(traceback.format_exception(error))}"
    assert error.__cause__ is None
    assert error.__context__ is None or isinstance(error.__context__, BrokerError)
    for text in quoted:
        assert text in shown
        shown = shown.replace(text, "")
    for value in ("4111-1111", "700"):
        assert value not in shown
    if "Failing row" in str(error.detail):
        assert "4111-1111" in str(error.detail), "whoever asks is told"


@click.group(cls=Commands)
def group() -> None:
    """Show errors as the real group does."""


for command in (doctor, measure, plan, reap):
    group.add_command(command)


@pytest.mark.parametrize("command", ["doctor", "measure", "plan", "reap"])
@pytest.mark.parametrize("right", [True, False], ids=["let-in", "refused"])
@pytest.mark.parametrize("by", ["dsn", "PGPASSWORD"])
def test_no_command_repeats_the_password(
    command: str,
    right: bool,
    by: str,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    password = database.password if right else "nobody's pass:word"
    in_dsn = password if by == "dsn" else ""
    monkeypatch.setenv("PGPASSWORD", "" if by == "dsn" else password)
    dsn = database.server.dsn(database.user, in_dsn, database.name) + "?sslmode=disable"
    toml = tmp_path / "broker.toml"
    toml.write_text("[database]\nmax_connections = 100\n[broker]\ntasks = 1\n")
    before = [str(toml), "--check"] if command == "plan" else []
    ran = CliRunner().invoke(group, [command, *before, dsn])
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    refused = "password authentication failed" in ran.output + ran.stderr
    assert refused != right
    for text in written(password):
        assert text not in ran.output + ran.stderr
