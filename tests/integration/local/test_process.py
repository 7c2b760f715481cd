"""Servers never outlive whoever started them, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from tests.wait import wait_until

BOTH = """
import sys
from broker.local.postgres import Postgres
from broker.local.pgbouncer import PgBouncer
with Postgres() as server, PgBouncer({"databases": {}}, {}) as pooler:
    print(server.pid, pooler.pid, flush=True)
    sys.stdin.read()
"""
STARTING = """
from broker.local.postgres import Postgres
Postgres().start()
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Give children a temporary directory that every user may pass, and nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="broker-test-") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


def start(program: str, scratch: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for PID 1 to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def abandoned_segments() -> set[str]:
    """List the System V segments that nobody is attached to and whose maker is gone (Linux)."""
    table = Path("/proc/sysvipc/shm")
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    return {row[1] for row in rows if row[6] == "0" and not is_alive(int(row[4]))}


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_servers_and_their_files_go_when_their_starter_is_ended(
    ending: signal.Signals, scratch: Path
) -> None:
    with start(BOTH, scratch) as child:
        assert child.stdout
        pids = [int(word) for word in child.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        child.send_signal(ending)
        assert child.wait(30) != 0
    wait_until(lambda: not any(map(is_alive, pids)), f"servers {pids} to end")
    wait_until(lambda: is_empty(scratch), "their directories to go")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_start_that_is_cut_short_leaves_nothing(ending: signal.Signals, scratch: Path) -> None:
    before = abandoned_segments()
    with start(STARTING, scratch) as child:
        wait_until(lambda: list(scratch.glob("*/data/base")), "initdb to be at work")
        child.send_signal(ending)
        child.wait(30)
    wait_until(lambda: is_empty(scratch), "its directory to go")
    wait_until(lambda: abandoned_segments() <= before, "its shared memory to go")


def test_a_server_outlives_the_thread_that_started_it() -> None:
    with Postgres() as server:
        server.stop()
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        assert server.admin("select 1") == [[1]]


def test_a_private_clone_still_runs_its_servers(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, `nobody` cannot read a clone under /root; a copy of the binaries is used."""
    monkeypatch.setattr("broker.local.account.Account.reaches", lambda self, path: path == scratch)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with Postgres() as server, PgBouncer({"databases": {}}, {}) as pooler:
        assert server.admin("select 1") == [[1]]
        assert pooler.admin("SHOW VERSION")
    assert is_empty(scratch)


def test_an_object_that_was_closed_can_be_closed_again() -> None:
    with PgBouncer({"databases": {}}, {}) as pooler:
        pooler.close()
    pooler.close()
