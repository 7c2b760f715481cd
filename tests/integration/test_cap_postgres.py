"""The cap, as PostgreSQL sees it: under a crowd, and while environments are frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import Database
from tests.dynamodb import dynamodb
from tests.wait import wait_until

CAP = 10
PROCESSES = 30


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with dynamodb("leases") as url:
        yield url


def environ(database: Database, endpoint: str, **changes: object) -> dict[str, str]:
    """Return what an environment of the fleet is given."""
    given = {
        "PATH": os.environ["PATH"],
        "BROKER_HOST": database.server.host,
        "BROKER_PORT": str(database.server.port),
        "BROKER_DATABASE": database.name,
        "BROKER_USER": database.user,
        "BROKER_PASSWORD": database.password,
        "BROKER_FLAVOUR": "direct",
        "BROKER_TLS": "off",
        "BROKER_TIMEOUT_S": "6",
        "BROKER_CAP": str(CAP),
        "BROKER_CAP_TABLE": "leases",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    return given | {f"BROKER_{name.upper()}": str(value) for name, value in changes.items()}


def script(name: str, *arguments: object, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start one of the scripts beside this file, and talk with it in lines."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)


def limit(database: Database, seconds: int) -> None:
    """Give the role the timeouts without which a session could outlive its lease."""
    for name in (
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "transaction_timeout",
    ):
        database.server.admin(f"alter role {database.user} set {name} = '{seconds}s'")


def test_thirty_environments_never_open_an_eleventh_session_though_some_are_killed(
    database: Database, endpoint: str
) -> None:
    limit(database, 5)
    running = script("cap_fleet.py", PROCESSES, 25, env=environ(database, endpoint, cap_lease_s=60))
    assert running.stdin
    assert running.stdout
    running.stdin.close()
    pids: list[int] = []
    while len(pids) < PROCESSES:
        line = running.stdout.readline().split()
        if line[0] == "pid":
            pids.append(int(line[1]))
    admin = database.server.connect()
    sql = "select count(*) from pg_stat_activity where usename = :role"
    most, samples, until_s = 0, 0, time.monotonic() + 25
    kill_at_s = time.monotonic() + 8
    while time.monotonic() < until_s:
        most = max(most, admin.run(sql, role=database.user)[0][0])
        samples += 1
        time.sleep(0.003)
        if kill_at_s and time.monotonic() > kill_at_s:
            for pid in pids[:5]:
                os.kill(pid, signal.SIGKILL)
            kill_at_s = 0
    told = running.stdout.read()
    running.stdout.close()
    running.wait()
    admin.close()
    assert CAP // 2 <= most <= CAP, f"{most} in {samples} samples"
    assert "FAILED" not in told


LEASE_S = 20


class Frozen:
    """An environment in a process of its own, that can be frozen and thawed as Lambda does."""

    def __init__(self, env: dict[str, str]) -> None:
        self.process = script("cap_frozen.py", env=env)

    def serve(self) -> str:
        """Serve one invocation, and return what came of it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_what_frozen_environments_held_is_back_within_one_life_and_they_never_exceed_the_cap(
    database: Database, endpoint: str
) -> None:
    """Two are frozen with all that the cap allows; two others get it, and the thawed wait."""
    limit(database, 1)
    env = environ(database, endpoint, cap=2, cap_name="frozen", cap_lease_s=LEASE_S, timeout_s=1.5)
    with (
        Frozen(env) as a,
        Frozen(env) as b,
        Frozen(env) as c,
        Frozen(env) as d,
        Living(database) as living,
    ):
        assert [one.serve() for one in (a, b)] == ["served", "served"]
        assert c.serve() == "CapReached"
        a.freeze()
        b.freeze()
        frozen_s = time.monotonic()
        wait_until(
            lambda: c.serve() == d.serve() == "served",
            "the frozen environments' leases to expire",
            2 * LEASE_S,
        )
        took_s = time.monotonic() - frozen_s
        a.thaw()
        b.thaw()
        # Those that got the leases keep them while they are used, whatever the thawed ones do:
        # the server has ended their sessions, and their leases are gone.
        served = [each.serve() for each in (a, c, d, b)]
        assert served == ["CapReached", "served", "served", "CapReached"]
    assert living.most == 2, f"{living.most} sessions under a cap of 2"
    assert living.samples > 100
    assert took_s > LEASE_S / 2, "they got in while the leases were in force"


class Living:
    """Counts the role's living sessions, again and again, in a thread."""

    def __init__(self, database: Database) -> None:
        self.most = self.samples = 0
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        admin = self._database.server.connect()
        sql = "select count(*) from pg_stat_activity where usename = :role"
        while not self._stop.wait(0.01):
            self.most = max(self.most, admin.run(sql, role=self._database.user)[0][0])
            self.samples += 1
        admin.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
