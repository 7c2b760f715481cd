"""The pooler's task in a container's layout: TLS and SCRAM on both hops, drained, supervised."""

from __future__ import annotations

import os
import signal
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pg8000.native
import pytest

from broker import AuthenticationFailed, Broker, BrokerError, DeadlineExceeded, TlsFailed
from broker.local.process import LOOPBACK, free_port
from broker.settings import Flavour
from tests.infra.image.conftest import Site
from tests.infra.image.container import Container, Server
from tests.wait import wait_until

Make = Callable[..., Site]
Start = Callable[..., Container]


def test_both_hops_are_verified_tls_and_each_has_a_role_of_its_own(site: Make, start: Start):
    where = site(processes=2)
    task = start(where)
    with Broker(task.settings()) as db:
        sql = """select usename, (select ssl from pg_stat_ssl s where s.pid = a.pid)
                 from pg_stat_activity a where pid = pg_backend_pid()"""
        assert db.run(sql).one() == [where.role, True]
    assert len(task.processes()) == 2
    with Broker(replace(task.settings(), tls_ca=str(where.postgres.ca_file))) as db:
        with pytest.raises(TlsFailed):
            db.run("select 1")
    with pytest.raises(pg8000.native.DatabaseError, match="SSL required"):
        connect(task, where.role, where.secrets.client_password, ssl_context=False)


def connect(task: Container, user: str, password: str, **changes: object) -> None:
    given: dict[str, object] = {
        "host": LOOPBACK,
        "port": task.port,
        "database": task.plan.deployment.middle.pairs[0].database,
        "password": password,
        "ssl_context": ssl.create_default_context(cafile=task.ca_file),
    }
    pg8000.native.Connection(user, **{**given, **changes}).close()


def test_a_server_with_another_authority_is_not_trusted(site: Make, start: Start):
    """The pooler verifies the server: with the clients' authority in place of its own, no login."""
    where = site()
    task = start(where)
    impostor = start(where, server=Server(where.postgres.port, task.ca_file))
    with Broker(impostor.settings(timeout_s=3)) as db, pytest.raises(BrokerError):
        db.run("select 1")
    assert "certificate verify failed" in impostor.log()


def test_a_password_of_the_other_hop_or_a_wrong_one_lets_nobody_in(site: Make, start: Start):
    where = site()
    task, secrets = start(where), where.secrets
    for password in (secrets.server_password, "wrong"):
        with Broker(task.settings(password=password)) as db, pytest.raises(AuthenticationFailed):
            db.run("select 1")
    direct = task.settings(
        port=where.postgres.port, tls_ca=str(where.postgres.ca_file), flavour=Flavour.DIRECT
    )
    for user in (direct.user, where.role):
        with Broker(replace(direct, user=user)) as db, pytest.raises(AuthenticationFailed):
            db.run("select 1")


def test_nothing_is_writable_but_the_volume_and_nothing_there_is_readable_for_others(
    site: Make, start: Start
):
    task = start(site(processes=2))
    uid, gid = 10001, 10001
    status = Path(f"/proc/{task.pid}/status").read_text()
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
    assert f"Gid:\t{gid}\t{gid}\t{gid}\t{gid}\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    find = "find / -xdev -maxdepth 3 -type d -writable 2>/dev/null; find /run /opt -writable"
    found = task.execute("sh", "-c", find).stdout.split()
    assert found != []
    assert all(path.startswith("/run/pgbouncer") for path in found), found
    folders = {path.name: path.stat().st_mode & 0o777 for path in task.sockets.iterdir()}
    assert folders == {"1": 0o700, "2": 0o700}
    files = {path.name: path.stat().st_mode & 0o777 for path in task.volume.iterdir()}
    assert set(files) == {
        "userlist.txt", "server.crt", "server.key", "pgbouncer-1.ini", "pgbouncer-2.ini",
    }  # fmt: skip
    assert set(files.values()) == {0o600}


def test_no_process_has_a_secret_in_its_environment_its_arguments_or_the_log(
    site: Make, start: Start
):
    where = site(processes=2)
    task = start(where)
    pids = [task.pid, *task.processes()]
    assert len(pids) == 3
    told = task.log().encode()
    for pid in pids:
        for name in ("environ", "cmdline"):
            told += Path(f"/proc/{pid}/{name}").read_bytes()
    assert b"PGBOUNCER_SERVER_SECRET" not in told
    assert b"PATH=" in told
    for secret in (where.secrets.server_password, where.secrets.client_password, "PRIVATE KEY"):
        assert secret.encode() not in told
    userlist = (task.volume / "userlist.txt").read_text()
    assert f'"{where.role}_client" "SCRAM-SHA-256$4096:' in userlist


def test_from_a_client_s_verifier_nobody_can_log_in(site: Make, start: Start):
    where = site()
    task = start(where)
    userlist = (task.volume / "userlist.txt").read_text()
    (line,) = [each for each in userlist.splitlines() if f'"{where.role}_client"' in each]
    verifier = line.split('" "')[1].rstrip('"')
    assert verifier.startswith("SCRAM-SHA-256$")
    with Broker(task.settings(password=verifier)) as db, pytest.raises(AuthenticationFailed):
        db.run("select 1")


def test_the_console_answers_on_the_socket_and_never_over_tcp(site: Make, start: Start):
    where = site()
    task = start(where)
    for user in (f"{where.role}_client", where.role, "pgbouncer"):
        for password in (where.secrets.client_password, where.secrets.server_password):
            with pytest.raises(pg8000.native.DatabaseError):
                connect(task, user, password, database="pgbouncer")
    assert task.health().returncode == 0


def test_a_cancel_reaches_the_process_that_has_the_client(site: Make, start: Start):
    """A lent session's statement has no bound of its own: only the cancel can end it in time.

    Its request comes over a connection of its own, which any of the processes may get.
    """
    where = site(processes=2)
    task = start(where)

    def sleep() -> None:
        with Broker(task.settings(timeout_s=2.0)) as db, pytest.raises(DeadlineExceeded):
            with db.session() as session:
                session.run("/* cancelled */ select pg_sleep(600)")

    threads = [threading.Thread(target=sleep) for _ in range(12)]
    for thread in threads:
        thread.start()
    sleeping = "state = 'active' and query like '%cancelled%'"
    wait_until(lambda: where.backends(sleeping) == len(threads), "all to sleep")
    for thread in threads:
        thread.join()
    wait_until(lambda: where.backends(sleeping) == 0, "every sleep to be cancelled", 10)


def test_a_stopped_process_makes_the_task_unhealthy(site: Make, start: Start):
    where = site(processes=2)
    task = start(where)
    victim = task.processes()[1]
    os.kill(victim, signal.SIGSTOP)
    checked = task.health()
    assert (checked.returncode, checked.stderr) == (
        1, "pgbouncer-health: process 2 does not answer\n",
    )  # fmt: skip
    os.kill(victim, signal.SIGCONT)
    wait_until(task.is_healthy, "the process to be well again")


def test_a_full_pooler_is_healthy_though_it_lets_nobody_in(site: Make, start: Start):
    where = site()
    task = start(where, settings={"max_client_conn": "3"})
    with ExitStack() as clients:
        for _ in range(3):
            db = clients.enter_context(Broker(task.settings()))
            assert db.run("select 1").scalar() == 1
        with Broker(task.settings(timeout_s=1)) as one_more, pytest.raises(BrokerError):
            one_more.run("select 1")
        assert task.health().returncode == 0


def test_a_database_that_is_down_makes_no_task_unhealthy(site: Make, start: Start):
    where = site()
    task = start(where, server=Server(free_port(), where.postgres.ca_file))
    with Broker(task.settings(timeout_s=2)) as db, pytest.raises(BrokerError):
        db.run("select 1")
    assert task.health().returncode == 0


def test_sigterm_drains_as_sigint_does_though_a_client_stays(site: Make, start: Start):
    """PgBouncer itself would wait for the client; a frozen environment never leaves."""
    task = start(site(processes=2))
    with Broker(task.settings()) as db:
        assert db.run("select 1").scalar() == 1
        task.signal(signal.SIGTERM)
        assert task.wait() == 0
    assert "SIGTERM came: draining 2 processes" in task.log()
    assert task.log().count("got SIGINT, shutting down") == 2
    assert "got SIGTERM" not in task.log()


def test_a_second_signal_cuts_no_transaction_off(site: Make, start: Start):
    """PgBouncer would end at once at a second one, whatever is under way."""
    where = site()
    task = start(where)
    with Broker(task.settings()) as db, db.transaction() as tx:
        tx.run("insert into ledger (token) values ('kept')")
        task.signal(signal.SIGINT)
        wait_until(lambda: "got SIGINT, shutting down" in task.log(), "the drain to begin")
        task.signal(signal.SIGINT)
        task.signal(signal.SIGTERM)
        tx.run("select pg_sleep(1)")
    assert task.wait() == 0
    assert where.tokens() == ["kept"]


def test_a_process_that_dies_ends_the_task_and_drains_the_others(site: Make, start: Start):
    task = start(site(processes=3))
    os.kill(task.processes()[1], signal.SIGKILL)
    assert task.wait() == 1
    assert "process 2 ended with -9" in task.log()
    assert "process 2 has ended: draining 2 processes" in task.log()
    assert "process 3 ended with 0" in task.log()


def test_orphans_are_reaped(site: Make, start: Start):
    task = start(site())
    before = len(task.processes())
    task.execute("sh", "-c", "(sleep 0.1 &) ; (sleep 0.2 &)")
    wait_until(lambda: len(task.processes()) == before, "the orphans to be gone")
    states = [Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in task.processes()]
    assert "Z" not in states


def test_a_drain_under_load_fails_no_transaction(site: Make, start: Start):
    """SIGINT while 40 clients are in transactions; the task that follows has the same port."""
    where = site(processes=2)
    task = start(where)
    port, over = task.port, threading.Event()
    tokens, failures = [], []

    def work(name: int) -> None:
        with Broker(task.settings(timeout_s=60)) as db:
            for count in range(10_000):
                if over.is_set():
                    return
                token = f"{name}-{count}"
                try:
                    with db.transaction() as tx:
                        tx.run("insert into ledger (token) values (:token)", token=token)
                        tx.run("select pg_sleep(0.02)")
                except BrokerError as error:
                    failures.append(repr(error))
                else:
                    tokens.append(token)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(tokens) > 400, "the load to be on")
    assert task.stop() == 0
    before = len(tokens)
    start(where, port=port)
    wait_until(lambda: len(tokens) > before + 400, "the load to be on again", 60)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Counter(where.tokens()) == Counter(tokens)
