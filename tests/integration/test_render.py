"""The rendered pgbouncer.ini runs in the real PgBouncer, and keeps what the plan promises."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pg8000.native
import pytest

from broker import Settings
from broker.local import binaries, certificates
from broker.local.pgbouncer import says_ready
from broker.local.pooler_files import render_userlist
from broker.local.postgres import Postgres
from broker.local.process import LOOPBACK, ServerProcess, free_port, raise_file_limit
from broker.local.storm import LEDGER, run_storm
from broker.pgbouncer import Hosting, render_ini
from broker.pgbouncer import render_userlist as render_template
from broker.plan import Plan, make_plan, parse
from broker.settings import Flavour, Tls
from tests.conftest import Database
from tests.wait import wait_until

DEPLOYMENT = """
[database]
engine = "postgresql"
max_connections = {limit}
[broker]
tasks = {tasks}
processes = {processes}
pairs = ["{name}/{name}"]
[[functions]]
name = "storm"
concurrency = {clients}
"""


def planned(
    database: Database, limit: int = 100, *, clients: int = 200, tasks: int = 1, processes: int = 1
) -> Plan:
    text = DEPLOYMENT.format(
        name=database.name, limit=limit, clients=clients, tasks=tasks, processes=processes
    )
    return make_plan(parse(text))


class Rendered:
    """PgBouncer processes that run what `render_ini` wrote, byte for byte.

    `home` is the directory that they share, as the processes of a task do.
    """

    def __init__(self, database: Database, running: ExitStack) -> None:
        self.database = database
        self._running = running
        self.home = ServerProcess("home")
        running.callback(self.home.close)

    def start(
        self, plan: Plan, *, process: int = 1, hosting: Hosting | None = None, tls: bool = False
    ) -> tuple[ServerProcess, int]:
        server = ServerProcess("pgbouncer")
        self._running.callback(server.close)
        binary = server.reachable(binaries.pgbouncer().resolve())
        given = hosting or Hosting(listen_port=free_port())
        certificate = key = None
        if tls:
            pair = certificates.issue(LOOPBACK, "localhost")
            certificate = str(self.home.write("server.crt", pair.certificate))
            key = str(self.home.write("server.key", pair.key))
        given = replace(
            given,
            host=LOOPBACK,
            port=self.database.server.port,
            listen_host=LOOPBACK,
            directory=str(self.home.directory),
            sockets=str(self.home.directory),
            server_ca=None,
            client_certificate=certificate,
            client_key=key,
            admin="broker_admin",
        )
        middle = plan.deployment.middle
        names = {self.database.user, *(middle.client(pair) for pair in middle.pairs)}
        users = dict.fromkeys(names, self.database.password)
        self.home.write("userlist.txt", render_userlist({**users, "broker_admin": "console"}))
        self.home.make_folder(str(process))
        ini = server.write("pgbouncer.ini", render_ini(plan, given, process=process))
        raise_file_limit(plan.whole("nofile"))
        server.start([binary, ini], ready=says_ready, stop_signal=signal.SIGQUIT)
        self._running.callback(server.stop, signal.SIGQUIT)
        return server, given.listen_port

    def connect(self, port: int, database: str | None = None) -> pg8000.native.Connection:
        if database:
            return pg8000.native.Connection(
                "broker_admin",
                host=LOOPBACK,
                port=port,
                password="console",
                database=database,
                ssl_context=False,
            )
        return self.database.connect(port=port)


@pytest.fixture
def rendered(database: Database) -> Iterator[Rendered]:
    with ExitStack() as running:
        yield Rendered(database, running)


def warnings_in(server: ServerProcess) -> list[str]:
    log = server.log_tail(1000)
    return [line for line in log.splitlines() if " WARNING " in line or " ERROR " in line]


@pytest.mark.parametrize("tls", [False, True])
def test_pgbouncer_takes_it_without_a_warning_and_has_every_number(
    rendered: Rendered, tls: bool
) -> None:
    plan = planned(rendered.database, clients=900)
    server, port = rendered.start(plan, tls=tls)
    assert warnings_in(server) == []
    if tls:
        return
    with rendered.connect(port) as client:
        assert client.run("select 1") == [[1]]
    console = rendered.connect(port, "pgbouncer")
    shown = {row[0]: row[1] for row in console.run("SHOW CONFIG")}
    console.close()
    for name in (
        "default_pool_size",
        "reserve_pool_size",
        "max_client_conn",
        "client_idle_timeout",
    ):
        assert shown[name] == str(plan.whole(name)), name
    assert (shown["default_pool_size"], shown["reserve_pool_size"]) == ("25", "5")
    assert (shown["reserve_pool_timeout"], shown["max_client_conn"]) == ("3", "2000")
    assert warnings_in(server) == []


def test_the_userlist_template_is_one_that_pgbouncer_reads(rendered: Rendered) -> None:
    plan = planned(rendered.database)
    server, port = rendered.start(plan)
    database = rendered.database
    template = render_template(plan, Hosting(admin="broker_admin"))
    filled = template.replace("the SCRAM secret or the password of broker_admin", "console")
    for name in (f"{database.user}_client", database.user):
        placeholder = f'"the SCRAM secret or the password of {name}"'
        assert placeholder in filled
        password = database.password.replace('"', '""')
        filled = filled.replace(placeholder, f'"{password}"')
    rendered.home.write("userlist.txt", filled)
    server.signal(signal.SIGHUP)
    with rendered.connect(port) as client:
        assert client.run("select 2") == [[2]]
    assert warnings_in(server) == []


def test_two_processes_share_the_port_and_divide_the_pool(rendered: Rendered) -> None:
    plan = planned(rendered.database, processes=2)
    hosting = Hosting(listen_port=free_port())
    made = [rendered.start(plan, process=process, hosting=hosting)[0] for process in (1, 2)]
    assert [warnings_in(server) for server in made] == [[], []]
    assert plan.whole("default_pool_size") == 12
    with rendered.connect(hosting.listen_port) as client:
        assert client.run("select 3") == [[3]]


@contextmanager
def watched(server: Postgres, role: str) -> Iterator[list[int]]:
    """Let the caller do what it likes, and note the most sessions that the role ever held."""
    import threading

    peak, over = [0], threading.Event()
    connection = server.connect()

    def watch() -> None:
        sql = "select count(*) from pg_stat_activity where usename = :role"
        while not over.is_set():
            peak[0] = max(peak[0], int(connection.run(sql, role=role)[0][0]))
            over.wait(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        connection.close()


def test_a_storm_over_a_rollout_stays_within_the_plan(rendered: Rendered) -> None:
    """Old and new task at once, ten times as many clients as sessions: nobody meets a 53300."""
    database = rendered.database
    plan = planned(database, limit=24, clients=150)
    role_limit = plan.whole(f"connection_limit.{database.user}")
    database.server.admin(f"alter role {database.user} connection limit {role_limit}")
    with database.connect() as owner:
        owner.run(LEDGER)
    ports = [rendered.start(plan)[1] for _ in range(plan.whole("processes_at_worst"))]
    assert len(ports) == 2
    results = []
    with watched(database.server, database.user) as peak, ExitStack() as both:
        from concurrent.futures import ThreadPoolExecutor

        workers = both.enter_context(ThreadPoolExecutor(2))
        futures = [
            workers.submit(
                run_storm, at(database, port), clients=150, requests_each=20, processes=1
            )
            for port in ports
        ]
        results = [future.result() for future in futures]
    assert [result.failures for result in results] == [{}, {}]
    assert sum(result.answered for result in results) == 2 * 150 * 20
    each = plan.whole("sessions_per_pool")
    assert each < peak[0] <= 2 * each == role_limit
    assert role_limit + plan.whole("reserved") <= 24


def at(database: Database, port: int) -> Settings:
    return Settings(
        host=LOOPBACK,
        port=port,
        database=database.name,
        user=database.user,
        password=database.password,
        flavour=Flavour.PGBOUNCER,
        tls=Tls.OFF,
        timeout_s=60,
        connect_timeout_s=30,
    )


def test_a_pair_that_nobody_planned_is_refused_by_the_pooler(rendered: Rendered) -> None:
    """Only the plan's databases are in the file, so no other pool can come to be."""
    _, port = rendered.start(planned(rendered.database))
    with pytest.raises(pg8000.native.DatabaseError, match="no such database"):
        rendered.connect(port, "postgres")


def test_clients_that_vanish_inside_a_statement_do_not_break_the_limit(rendered: Rendered) -> None:
    """PgBouncer drops their backends, which run on for a while: the role's limit counts them."""
    database = rendered.database
    plan = planned(database, limit=24)
    limit = plan.whole(f"connection_limit.{database.user}")
    database.server.admin(f"alter role {database.user} connection limit {limit}")
    _, port = rendered.start(plan)
    with watched(database.server, database.user) as peak:
        for _ in range(3):
            clients = [rendered.connect(port) for _ in range(plan.whole("default_pool_size"))]
            for client in clients:
                client._usock.settimeout(0.05)
                with pytest.raises(Exception, match=r"timed out|network error"):
                    client.run("select pg_sleep(0.5)")
                client._usock.close()
        with rendered.connect(port) as client:
            assert client.run("select 4") == [[4]]
    assert peak[0] <= limit
    wait_until(lambda: database.backends() <= limit, "the left backends to end")
