"""The exporter beside a real task: its figures are SHOW's and the load's, whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from broker import Broker
from broker.local.process import LOOPBACK
from tests.infra.image.beside import Exporter
from tests.infra.image.conftest import Site
from tests.infra.image.container import Container
from tests.infra.image.dockerfile import CONTEXT
from tests.infra.image.test_task import connect
from tests.wait import wait_until

Make = Callable[..., Site]
Start = Callable[..., Container]
Beside = Callable[..., Exporter]
RSS_BYTES = 30_000_000  # what it may take
SHOW = """
import json, sys, time
sys.path.insert(0, "/opt/pgbouncer")
from pathlib import Path
from pooler.console import connected
for path in sorted(Path("/run/pgbouncer-sockets").glob("*/.s.PGSQL.*[0-9]")):
    with connected(path, time.monotonic() + 5) as console:
        print(json.dumps(console.ask(sys.argv[1])))
"""


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    """Start exporters, which end with the test."""
    numbers = itertools.count(1)
    with ExitStack() as running:

        def started(task: Container, **environ: str) -> Exporter:
            folder = tmp_path / f"exporter-{next(numbers)}"
            folder.mkdir()
            return running.enter_context(Exporter(task, folder, **environ))

        yield started


@contextmanager
def holding(task: Container, clients: int) -> Iterator[None]:
    """Have so many clients each in a transaction of its own, or waiting for its turn."""
    over = threading.Event()

    def hold() -> None:
        with Broker(task.settings(timeout_s=60)) as db, db.transaction() as tx:
            tx.run("select 1")
            over.wait()

    threads = [threading.Thread(target=hold) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def show(task: Container, what: str) -> list[list[dict[str, Any]]]:
    """Return the rows of each process, without the console's own."""
    ran = task.execute("/usr/bin/python3", "-Es", "-c", SHOW, f"SHOW {what}")
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return [[row for row in rows if row.get("database") != "pgbouncer"] for rows in found]


def total(task: Container, what: str, *columns: str) -> int:
    return sum(int(row[c]) for rows in show(task, what) for row in rows for c in columns)


def test_the_figures_are_the_load_s_and_show_s_with_clients_that_wait(
    site: Make, start: Start, beside: Beside
) -> None:
    """Every process' pool is full: nobody can be lent more, and who is not served waits."""
    where = site(processes=2, active=6)
    task = start(where, settings={"query_wait_timeout": "0"})
    exporter = beside(task)
    most = 2 * (where.plan.whole("default_pool_size") + where.plan.whole("reserve_pool_size"))
    clients = most + 30

    with holding(task, clients):
        full = lambda: total(task, "POOLS", "sv_active") == most  # noqa: E731
        wait_until(full, "every pool to be full, its reserve too")
        seen = len(exporter.minutes())
        wait_until(lambda: len(exporter.minutes()) > seen + 1, "a minute of that")
        now = exporter.minutes()[-1]

        assert now["ClientsActive"] == now["SessionsActive"] == most
        assert now["ClientsWaiting"] == clients - most == total(task, "POOLS", "cl_waiting")
        assert now["SessionsIdle"] == 0
        assert now["PoolUsedPercent"] == 100
        assert where.backends("state = 'idle in transaction'") == most
        waits = [int(r["maxwait"]) * 1000 for rows in show(task, "POOLS") for r in rows]
        assert 0 < now["MaxWaitMs"] < max(waits) + 1000
        assert len([row for rows in show(task, "SERVERS") for row in rows]) == most
        told = json.loads(exporter.lines()[-1])
        address = f"{where.postgres.host}:{where.postgres.port}"
        assert told["servers"] == {f"{address} active": most}
        assert 0 < told["oldest_session_s"] < 600
        used = [lists(rows)["used_clients"] for rows in show(task, "LISTS")]
        assert clients + 2 <= sum(used) <= clients + 4, "who looks at the console is one, too"
        per_process = where.plan.whole("max_client_conn")
        assert 100 * clients / 2 / per_process <= now["ClientsUsedPercent"] <= 100
        assert now["ClientsLoggingIn"] == 0

    seen = len(exporter.minutes())
    wait_until(lambda: len(exporter.minutes()) > seen + 1, "two minutes of quiet")
    quiet = exporter.minutes()[-1]
    assert quiet["ClientsWaiting"] == quiet["MaxWaitMs"] == quiet["PoolUsedPercent"] == 0
    assert quiet["SessionsIdle"] + quiet["SessionsActive"] == total(
        task, "POOLS", "sv_idle", "sv_used", "sv_active", "sv_tested", "sv_login"
    )


def lists(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["list"]: int(row["items"]) for row in rows}


def test_clients_that_log_in_are_in_no_pool_and_are_counted(
    site: Make, start: Start, beside: Beside
) -> None:
    """They take places of max_client_conn, as one that connects and says nothing does."""
    task = start(site())
    exporter = beside(task)
    with ExitStack() as held:
        for _ in range(7):
            held.enter_context(socket.create_connection((LOOPBACK, task.port)))
        wait_until(
            lambda: exporter.minutes() and exporter.minutes()[-1]["ClientsLoggingIn"] == 7,
            "all to be told of",
        )
        now = exporter.minutes()[-1]
        assert now["ClientsActive"] == now["ClientsWaiting"] == 0
        assert total(task, "POOLS", "cl_active", "cl_waiting") == 0
        assert now["ClientsUsedPercent"] > 0
    wait_until(lambda: exporter.minutes()[-1]["ClientsLoggingIn"] == 0, "them to be gone")


def test_averages_are_what_was_counted_in_the_minute_and_absent_without_any(
    site: Make, start: Start, beside: Beside
) -> None:
    task = start(site(processes=2))
    with Broker(task.settings()) as db:
        db.run("select pg_sleep(0.3)")
        exporter = beside(task)
        wait_until(lambda: len(exporter.minutes()) >= 2, "quiet minutes")
        for quiet in exporter.minutes():
            assert not {"AvgQueryUs", "AvgWaitUs"} & set(quiet), "what was before is not its own"
        for _ in range(20):
            db.run("select pg_sleep(0.1)")
    seen = len(exporter.minutes())
    wait_until(lambda: len(exporter.minutes()) > seen + 1, "the rest to be told")
    told = [each["AvgQueryUs"] for each in exporter.minutes() if "AvgQueryUs" in each]
    assert told
    assert all(50_000 < average < 500_000 for average in told), told
    assert any("AvgWaitUs" in each for each in exporter.minutes())


def failed(exporter: Exporter) -> float:
    return sum(each["LoginsFailed"] for each in exporter.minutes())


def test_each_login_that_the_pooler_refuses_is_counted_once(
    site: Make, start: Start, beside: Beside
) -> None:
    where = site(processes=2)
    task = start(where)
    name, password = f"{where.role}_client", where.secrets.client_password
    with pytest.raises(pg8000.native.DatabaseError):
        connect(task, name, "before the exporter was there")
    exporter = beside(task)
    wait_until(exporter.minutes, "the exporter to be there")
    with Broker(task.settings()) as db:  # neither is one that succeeds, or an error of a statement
        db.run("select 1")
        with pytest.raises(Exception, match="no_such_table"):
            db.run("select * from no_such_table")
    wrong: list[dict[str, Any]] = [
        {"user": name, "password": "wrong"},
        {"user": "nobody", "password": password},
        {"user": name, "password": password, "database": "nowhere"},
        {"user": name, "password": password, "ssl_context": False},
    ]
    for each in 3 * wrong:
        with pytest.raises(pg8000.native.DatabaseError):
            connect(task, **each)
    wait_until(lambda: failed(exporter) >= 12, "all to be told")
    seen = len(exporter.minutes())
    wait_until(lambda: len(exporter.minutes()) > seen + 1, "the rest to be told")
    assert failed(exporter) == 12


def test_a_login_that_the_server_refuses_the_pooler_is_counted(
    site: Make, start: Start, beside: Beside
) -> None:
    """A password that was rotated on the server, and not in the task."""
    where = site()
    task = start(where)
    exporter = beside(task)
    wait_until(exporter.minutes, "the exporter to be there")
    assert failed(exporter) == 0
    where.postgres.admin(f"alter role {where.role} password 'rotated'")
    with Broker(task.settings(timeout_s=3)) as db, pytest.raises(Exception):  # noqa: B017
        db.run("select 1")
    wait_until(lambda: failed(exporter) >= 1, "it to be told")
    assert "server login failed: FATAL password authentication failed" in task.log()


def test_poolers_that_are_killed_and_started_again_count_on(
    site: Make, start: Start, beside: Beside
) -> None:
    where = site(processes=2)
    task = start(where)
    exporter = beside(task)

    def work() -> None:
        with Broker(task.settings()) as db:
            for _ in range(50):
                db.run("select pg_sleep(0.01)")

    work()
    wait_until(exporter.minutes, "a first line")
    for victim in task.processes():
        os.kill(victim, signal.SIGKILL)
    task.wait()
    wait_until(lambda: "process 2 " in exporter.errors(), "the exporter to say so")
    silent = len(exporter.minutes())
    task.start_again()
    wait_until(task.is_healthy, "the task to be back")
    work()
    wait_until(
        lambda: any("AvgQueryUs" in each for each in exporter.minutes()[silent:]),
        "the new ones' figures",
    )
    assert exporter.running.outer.poll() is None
    for minute in exporter.minutes():
        assert min(minute.values()) >= 0, minute
    queries = [m["AvgQueryUs"] for m in exporter.minutes()[silent:] if "AvgQueryUs" in m]
    assert all(each < 1_000_000 for each in queries)


def test_a_process_that_hangs_is_left_out_and_said_once(
    site: Make, start: Start, beside: Beside
) -> None:
    task = start(site(processes=2))
    exporter = beside(task)
    wait_until(exporter.minutes, "a first line")
    victim = task.processes()[1]
    os.kill(victim, signal.SIGSTOP)
    try:
        unanswered = lambda: [json.loads(line)["unanswered"] for line in exporter.lines()]  # noqa: E731
        wait_until(lambda: unanswered()[-2:] == [1, 1], "two lines without it")
        assert exporter.errors().count("process 2 does not answer") == 1
    finally:
        os.kill(victim, signal.SIGCONT)
    wait_until(lambda: unanswered()[-1] == 0, "it to be counted again")


def test_an_exporter_that_hangs_harms_no_pooler_and_no_drain(
    site: Make, start: Start, beside: Beside
) -> None:
    task = start(site(processes=2))
    for _ in range(5):  # wherever in its look it is stopped
        exporter = beside(task, EXPORTER_PERIOD_S="0.01")
        wait_until(exporter.minutes, "it to look")
        os.kill(exporter.running.pid, signal.SIGSTOP)
        with Broker(task.settings()) as db:
            assert db.run("select 1").scalar() == 1
        assert task.health().returncode == 0
    assert task.stop() == 0


def test_it_can_write_nowhere_sees_no_secret_and_can_do_nothing_more(
    site: Make, start: Start, beside: Beside
) -> None:
    where = site(processes=2)
    task = start(where)
    exporter = beside(task)
    wait_until(exporter.minutes, "a first line")
    status = Path(f"/proc/{exporter.running.pid}/status").read_text()
    assert "Uid:\t10001\t10001\t10001\t10001\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    find = "find / -xdev -maxdepth 3 -type d -writable 2>/dev/null; find /run /opt -type f"
    found = exporter.running.execute("sh", "-c", find).stdout.split()
    logs = [f"/run/pgbouncer-sockets/{process}/log" for process in (1, 2)]
    assert sorted(path for path in found if path.startswith("/run")) == logs
    assert all(path.startswith(("/run", "/opt/pgbouncer/")) for path in found), found
    for secret in (where.secrets.server_password, where.secrets.client_password, "PRIVATE KEY"):
        assert secret not in "".join(exporter.lines()) + exporter.errors()


def test_the_console_shows_it_neither_passwords_nor_statements_nor_anybody_s_socket(
    site: Make, start: Start, beside: Beside
) -> None:
    """SHOW FDS would hand sockets and passwords over, but for TLS on both hops."""
    where = site()
    task = start(where)
    exporter = beside(task)
    wait_until(exporter.minutes, "a first line")
    shown = {}
    settings = task.settings()
    with Broker(settings) as idle, Broker(settings) as db, db.transaction() as tx:
        idle.run("select 1")
        tx.run("select 'a literal', :card::text", card="4111")
        for what in ("CONFIG", "DATABASES", "FDS", "CLIENTS", "SERVERS", "SOCKETS", "USERS"):
            command = ("/usr/bin/python3", "-Es", "-c", SHOW, f"SHOW {what}")
            shown[what] = exporter.running.execute(*command).stdout
    assert f'"user": "{where.role}"' in shown["SERVERS"]
    assert where.role not in shown["FDS"]
    assert '"fd": ' in shown["FDS"], "its own, to listen on"
    passwords = (where.secrets.server_password, where.secrets.client_password)
    for secret in (*(json.dumps(each)[1:-1] for each in passwords), "a literal", "4111"):
        assert secret not in "".join(shown.values())


def test_over_the_console_it_could_let_itself_in(site: Make, start: Start, beside: Beside) -> None:
    """What its container is worth: containers of a task share the network, too."""
    where = site()
    task = start(where)
    exporter = beside(task)
    with pytest.raises(pg8000.native.DatabaseError):
        connect(task, f"{where.role}_client", "no idea")
    command = ("/usr/bin/python3", "-Es", "-c", SHOW, "SET auth_type = 'trust'")
    wait_until(lambda: exporter.running.execute(*command).returncode == 0, "the pooler to obey")
    connect(task, f"{where.role}_client", "no idea")


def test_it_stays_small_with_many_clients_and_many_lines_of_log(
    site: Make, start: Start, beside: Beside
) -> None:
    where = site(processes=2, active=6)
    task = start(where)
    exporter = beside(task)
    name = f"{where.role}_client"
    wait_until(exporter.minutes, "a first line")
    with holding(task, 60):
        for _ in range(50):
            with pytest.raises(pg8000.native.DatabaseError):
                connect(task, name, "wrong")
        wait_until(lambda: failed(exporter) == 50, "all to be told")
    status = Path(f"/proc/{exporter.running.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    assert int(peak.split()[1]) * 1024 < RSS_BYTES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_to(
    site: Make, start: Start, beside: Beside, number: signal.Signals
) -> None:
    exporter = beside(start(site()))
    wait_until(exporter.minutes, "a first line")
    os.kill(exporter.running.pid, number)
    assert exporter.running.outer.wait(30) == 0
    assert exporter.errors() == ""


def test_it_waits_for_a_task_that_has_not_started_and_names_it(
    site: Make, start: Start, beside: Beside
) -> None:
    task = start(site())
    sockets = task.sockets / "1"
    sockets.rename(task.sockets / "not yet")
    exporter = beside(task, EXPORTER_PERIOD_S="0.24")
    time.sleep(0.5)  # two of its minutes
    assert exporter.lines() == []
    (task.sockets / "not yet").rename(sockets)
    wait_until(exporter.minutes, "a first line")
    properties = json.loads(exporter.lines()[-1])
    assert (properties["task"], properties["unanswered"]) == ("cd189a93", 0)
    assert exporter.errors() == ""


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"EXPORTER_POOLER": ""}, "EXPORTER_POOLER is missing: give the name"),
        ({"EXPORTER_PERIOD_S": "soon"}, "EXPORTER_PERIOD_S = 'soon': give seconds"),
        ({"EXPORTER_PERIOD_S": "0"}, "EXPORTER_PERIOD_S = '0': give seconds"),
        ({"EXPORTER_PERIOD_S": "nan"}, "EXPORTER_PERIOD_S = 'nan': give seconds"),
    ],
)
def test_bad_input_is_one_line(environ: dict[str, str], told: str) -> None:
    ran = subprocess.run(
        [sys.executable, CONTEXT / "pgbouncer-exporter"],
        env={"EXPORTER_POOLER": "stack/Broker", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"pgbouncer-exporter: {told}")
    assert ran.stderr.count("\n") == 1
