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
    with pytest.raises(UsageError, match="there is nothing to render: only flavour"):
        render_ini(plan_with(flavour="direct"))
    with pytest.raises(UsageError, match="process 2: the plan has"):
        render_ini(plan_with(), process=2)


def names_in(userlist: str) -> list[str]:
    return [line.split('"')[1] for line in userlist.splitlines() if '"' in line]


def test_the_userlist_names_each_user_once_and_the_console_if_it_has_one() -> None:
    assert names_in(render_userlist(plan_with())) == ["jobs", "web"]
    hosting = Hosting(admin="broker_admin")
    assert names_in(render_userlist(plan_with(), hosting)) == ["jobs", "web", "broker_admin"]


ONE_USER = """
[database]
max_connections = 200
[broker]
pairs = ["shop/web", "audit/web"]
"""


def test_clients_of_one_user_have_a_name_that_the_server_does_not_know() -> None:
    plan = make_plan(parse(ONE_USER))
    ini = read(render_ini(plan))
    assert " user=web " in ini["databases"]["shop"]
    assert " user=web " in ini["databases"]["audit"]
    assert list(ini["users"]) == ["web"]
    assert names_in(render_userlist(plan)) == ["web_client", "web"]


def test_clients_of_several_users_keep_their_names_so_that_none_gets_the_role_of_another() -> None:
    plan, ini = plan_with(), read(render_ini(plan_with()))
    assert all("user=" not in line for line in ini["databases"].values())
    middle = plan.deployment.middle
    assert {middle.client(pair) for pair in middle.pairs} == {"web", "jobs"}


def test_the_console_answers_on_the_socket_alone_unless_an_admin_is_given() -> None:
    ini = read(render_ini(plan_with()))["pgbouncer"]
    assert ini["admin_users"] == ""
    assert ini["unix_socket_dir"] == "/run/pgbouncer-sockets/1"
    assert ini["unix_socket_mode"] == "0700"
    ini = read(render_ini(plan_with(), Hosting(admin="ops")))["pgbouncer"]
    assert ini["admin_users"] == "ops"
