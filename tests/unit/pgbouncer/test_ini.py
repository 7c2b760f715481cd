"""pgbouncer.ini has the plan's numbers and reasons, the same bytes each time, and no secret."""

from __future__ import annotations

import configparser
import itertools

import pytest

from broker.errors import UsageError
from broker.pgbouncer import Hosting, render_ini, render_userlist
from broker.plan import Plan, make_plan, parse

TEXT = """
[database]
max_connections = 200
[broker]
tasks = 2
processes = {processes}
flavour = "{flavour}"
pairs = ["shop/web", "shop/jobs", "audit/web"]
"""


def plan_with(processes: int = 1, flavour: str = "pgbouncer") -> Plan:
    return make_plan(parse(TEXT.format(processes=processes, flavour=flavour)))


def read(text: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(delimiters=["="], comment_prefixes=[";"], interpolation=None)
    found.read_string(text)
    return found


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert render_ini(plan_with()) == render_ini(plan_with())


def test_limits_for_pools_databases_and_users_are_the_plans() -> None:
    plan, ini = plan_with(), read(render_ini(plan_with()))
    each = plan.whole("default_pool_size") + plan.whole("reserve_pool_size")
    assert ini["pgbouncer"]["default_pool_size"] == str(plan.whole("default_pool_size"))
    assert f"max_db_connections={2 * each}" in ini["databases"]["shop"]
    assert f"max_db_connections={each}" in ini["databases"]["audit"]
    assert ini["users"]["web"] == f"max_user_connections={2 * each}"


def test_every_setting_has_its_reason_above_it() -> None:
    lines = render_ini(plan_with(2)).splitlines()
    for before, line in itertools.pairwise(lines):
        if " = " in line and not line.startswith(";") and not line[0].isdigit():
            assert before.startswith("; "), line


def test_processes_share_the_port_and_know_each_other() -> None:
    first, second = (read(render_ini(plan_with(2), process=number)) for number in (1, 2))
    assert first["pgbouncer"]["peer_id"] == "1"
    assert second["pgbouncer"]["peer_id"] == "2"
    assert first["pgbouncer"]["unix_socket_dir"] != second["pgbouncer"]["unix_socket_dir"]
    assert sorted(first["peers"]) == ["1", "2"]
    assert first["pgbouncer"]["so_reuseport"] == "1"


def test_the_server_is_verified_and_clients_use_tls_unless_said_otherwise() -> None:
    ini = read(render_ini(plan_with()))["pgbouncer"]
    assert (ini["server_tls_sslmode"], ini["client_tls_sslmode"]) == ("verify-full", "require")
    off = Hosting(server_ca=None, client_certificate=None, client_key=None)
    ini = read(render_ini(plan_with(), off))["pgbouncer"]
    assert (ini["server_tls_sslmode"], ini["client_tls_sslmode"]) == ("disable", "disable")


@pytest.mark.parametrize(
    "wrong",
    [{"host": "a\nb"}, {"host": ""}, {"host": "a b"}, {"port": 0}, {"client_key": None},
     {"admin": 'x" "y'}],
)  # fmt: skip
def test_what_would_break_the_file_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Hosting(**wrong)  # type: ignore[arg-type]


def test_another_flavour_or_process_has_no_file() -> None:
    with pytest.raises(UsageError, match='flavour = "direct" has no'):
        render_ini(plan_with(flavour="direct"))
    with pytest.raises(UsageError, match="process 2: the plan has"):
        render_ini(plan_with(), process=2)


def test_the_userlist_names_each_user_once_and_the_console() -> None:
    names = [
        line.split('"')[1] for line in render_userlist(plan_with()).splitlines() if '"' in line
    ]
    assert names == ["jobs", "web", "broker_admin"]
