"""The demo's first act: what fills the server, named first and with numbers that match."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from broker.cli.doctor import doctor
from broker.local.acts import CODE
from broker.local.fleet import Fleet, Function
from broker.local.stack import Stack
from broker.local.storm import LEDGER

ENVIRONMENTS = 120


@pytest.mark.slow
def test_the_doctor_names_serverless_without_a_pooler_first_with_numbers_that_match() -> None:
    with Stack() as stack, Fleet() as fleet:
        postgres, pair = stack.postgres, stack.pair
        postgres.admin(LEDGER, database=pair.database)
        postgres.admin(f"alter table ledger owner to {pair.user}", database=pair.database)
        fleet.deploy(
            Function(
                name="plain",
                handler="plain.handler",
                code=CODE,
                timeout_s=30,
                environment={
                    "PGHOST": postgres.host,
                    "PGPORT": str(postgres.port),
                    "PGUSER": pair.user,
                    "PGPASSWORD": stack.password,
                    "PGDATABASE": pair.database,
                },
            )
        )
        answers = [
            future.result()
            for future in [
                fleet.submit("plain", {"token": str(number)}) for number in range(ENVIRONMENTS)
            ]
        ]
        refused = [answer for answer in answers if not answer.ok]

        result = CliRunner().invoke(doctor, [postgres.dsn() + "?sslmode=disable", "--json"])

        held = "select count(*) from pg_stat_activity where usename = :role"
        there = postgres.admin(held, role=pair.user)[0][0]
    told = json.loads(result.output)
    first = told["findings"][0]
    assert refused, "the act is about those that got 53300"
    assert first["kind"] == "serverless_without_pooler"
    assert first["sessions"] == there == told["server"]["sessions"]
    assert first["sentence"].startswith(
        f"(no application_name) as {pair.user} on {pair.database}: {there} sessions from 1 address"
    )
    assert "full" in [finding["kind"] for finding in told["findings"]]
