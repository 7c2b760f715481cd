"""What the plan has for the deployment: its table, its flags, a serverless cluster's least."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.plan import BadDeployment, Plan, make_plan, parse
from broker.plan.reading import Section

SERVERLESS = """
[database]
engine = "aurora-postgresql"
instance = "serverless"
max_acu = 8
"""


def planned(flavour: str, *timeouts_s: int) -> Plan:
    functions = "".join(
        f'[[functions]]\nname = "f{number}"\nconcurrency = 1\ntimeout = "{each} s"\n'
        for number, each in enumerate(timeouts_s)
    )
    return make_plan(
        parse(f'[database]\nmax_connections = 100\n[broker]\nflavour = "{flavour}"\n{functions}')
    )


def test_the_deployment_s_table_is_another_s_to_read() -> None:
    text = "[database]\nmax_connections = 100\n"
    without = parse(text)
    assert not without.has_deploy
    assert parse(f'{text}[deploy]\nname = "orders"\nanything = 1\n') == replace(
        without, has_deploy=True
    )


@pytest.mark.parametrize(("text", "least"), [("", 0.5), ("min_acu = 2\n", 2.0)])
def test_a_serverless_cluster_keeps_its_least(text: str, least: float) -> None:
    database = parse(SERVERLESS + text).database
    assert (database.min_acu, database.acu) == (least, 8.0)


def test_only_true_and_false_are_flags() -> None:
    section = Section(
        "broker.toml", "deploy.vpc", {"nat": True, "lookup": "yes"}, ["nat", "lookup"]
    )
    assert section.flag("nat", default=False) is True
    assert Section("f", "p", {}, []).flag("nat", default=True) is True
    with pytest.raises(BadDeployment, match=r'deploy\.vpc\.lookup = "yes": must be true or false'):
        section.flag("lookup", default=False)


@pytest.mark.parametrize("flavour", ["direct", "pgbouncer", "rds-proxy"])
@pytest.mark.parametrize("timeouts", [(2,), (30,), (3, 900), ()])
def test_a_wait_for_a_lock_ends_before_the_statement_and_holds_no_session_for_long(
    flavour: str, timeouts: tuple[int, ...]
) -> None:
    plan = planned(flavour, *timeouts)
    assert 1 <= plan.whole("lock_timeout") <= plan.whole("statement_timeout")
    assert plan.whole("lock_timeout") <= 10
