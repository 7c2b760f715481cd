"""A failed login is counted once, whatever else is in the log and wherever a read of it ends."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, strategies
from pooler.directory import Directory
from pooler.logins import FailedLogins
from pooler.logs import MOST_BYTES, keep_short

TIME = "2026-11-25 11:05:01.286 UTC [19]"
CLIENT = "C-0x55d0c8a6b0f0: appdb/app_client@10.0.1.7:41234"
FAILED = [
    f"{TIME} WARNING {CLIENT} pooler error: SASL authentication failed",
    f"{TIME} WARNING C-0x1: (nodb)/(nouser)@[::1]:41 pooler error: no such database: nowhere",
    f"{TIME} WARNING C-0x1: (nodb)/(nouser)@10.0.1.7:41 pooler error: SSL required",
    f"{TIME} WARNING {CLIENT} pooler error: no more connections allowed (max_client_conn)",
    f"{TIME} WARNING {CLIENT} pooler error: client_login_timeout",
    f"{TIME} WARNING {CLIENT} pooler error: server login has been failing, cached error: x "
    "(server_login_retry)",
    f"{TIME} WARNING server login failed: FATAL sorry, too many clients already",
]
OTHER = [
    f"{TIME} LOG stats: 0 xacts/s, 0 queries/s, in 0 B/s, out 0 B/s, xact 0 us",
    f"{TIME} WARNING {CLIENT} pooler error: query_wait_timeout",
    f"{TIME} WARNING {CLIENT} pooler error: client_idle_timeout",
    f"{TIME} WARNING {CLIENT} pooler error: server shutting down",
    # what a server said to the pooler is counted there, once, not for each client that hears it
    f'{TIME} WARNING {CLIENT} pooler error: password authentication failed for user "app"',
    f"{TIME} ERROR {CLIENT} password authentication failed",
    f"{TIME} LOG process up: PgBouncer 1.24.1, pooler error: no such user",
    "",
]
lines = strategies.lists(strategies.sampled_from([*FAILED, *OTHER]), max_size=30)


@given(lines, strategies.lists(strategies.integers(0, 5000), max_size=10))
def test_each_is_counted_once_wherever_reads_end(texts: list[str], cuts: list[int]) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        failed = FailedLogins(log)
        found = failed.count()
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
            with log.open("ab") as file:
                file.write(data[start:end])
            found += failed.count()
    assert found == sum(text in FAILED for text in texts)


def test_what_was_there_before_is_not_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{FAILED[0]}\n")
    failed = FailedLogins(log)
    assert failed.count() == 0
    log.write_text(f"{FAILED[0]}\n{FAILED[1]}\n")
    assert failed.count() == 1


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = Directory(tmp_path, tmp_path / "sockets")
    made.shared.mkdir()
    for process in (1, 2, 10):
        made.make_sockets(process)
    return made


def test_a_log_that_has_grown_is_emptied_and_counted_on(directory: Directory) -> None:
    log = directory.log(1)
    with log.open("a") as process:  # as PgBouncer has it open
        failed = FailedLogins(log)
        many = MOST_BYTES // len(f"{FAILED[0]}\n")
        process.write(f"{FAILED[0]}\n" * many)
        process.flush()
        assert failed.count() == many
        keep_short(directory)
        assert log.stat().st_size > 0, "not yet too long"
        process.write(f"{FAILED[0]}\n" * 100)
        process.flush()
        assert failed.count() == 100
        keep_short(directory)
        assert log.stat().st_size == 0
        process.write(f"{FAILED[0]}\n" * 3)
        process.flush()
        assert failed.count() == 3
        assert log.stat().st_size == 3 * len(f"{FAILED[0]}\n")


def test_a_log_that_cannot_be_emptied_ends_nobody(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.log(2).write_bytes(b"x" * (MOST_BYTES + 1))

    def refuse(path: Path, size: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "truncate", refuse)
    keep_short(directory)
    assert capsys.readouterr().err == f"pgbouncer-task: {directory.log(2)}: Permission denied\n"


def test_processes_are_in_order_and_each_has_its_own_log(directory: Directory) -> None:
    (directory.shared / "no process").mkdir()
    assert directory.processes() == [1, 2, 10]
    assert directory.log(10) == directory.shared / "10" / "log"
