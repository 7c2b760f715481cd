"""Thirty environments under a cap of ten: PostgreSQL never sees an eleventh session."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cap.dynamodb import DynamoDb, Unanswered
from broker.cap.table import SCHEMA
from broker.sigv4 import Keys
from tests.conftest import Database
from tests.wait import wait_until

CAP = 10
PROCESSES = 30


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    moto = Path(sys.executable).with_name("moto_server")
    server = subprocess.Popen(
        [moto, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            client = DynamoDb("eu-west-1", url, lambda: Keys("a", "b"))
            client.call("CreateTable", {"TableName": "leases", **SCHEMA}, 5)
        except Unanswered:
            return False
        return True

    try:
        wait_until(up, "moto's server")
        yield url
    finally:
        server.kill()
        server.wait()


def fleet(
    database: Database, endpoint: str, seconds: float, lease_s: float
) -> subprocess.Popen[str]:
    environ = {
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
        "BROKER_CAP_LEASE_S": str(lease_s),
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("cap_fleet.py"), str(PROCESSES), str(seconds)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_thirty_environments_never_open_an_eleventh_session_and_a_crash_is_mended(
    database: Database, endpoint: str
) -> None:
    for name in (
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "transaction_timeout",
    ):
        database.server.admin(f"alter role {database.user} set {name} = '5s'")
    running = fleet(database, endpoint, 25, 60)
    assert running.stdout
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
