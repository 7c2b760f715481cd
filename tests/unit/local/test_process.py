"""A server's user reads only what the permission bits let it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from broker.local.account import Account
from broker.local.postgres import says_ready
from broker.local.process import LOOPBACK, PORTS, free_port

STRANGER = Account(uid=54321, gid=54321)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir(mode=0o755)
    path.write_text("")
    path.chmod(0o644)
    return path


def open_up(path: Path) -> None:
    """Let everybody through the folders that pytest keeps to itself."""
    for folder in path.parents:
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            folder.chmod(0o755)


def test_a_file_behind_a_private_folder_is_out_of_reach(file: Path) -> None:
    open_up(file)
    assert STRANGER.reaches(file)
    file.parent.chmod(0o700)
    assert not STRANGER.reaches(file)


def test_a_private_file_is_out_of_reach_of_all_but_its_owner_and_group(file: Path) -> None:
    open_up(file)
    file.chmod(0o640)
    status = file.stat()
    assert not STRANGER.reaches(file)
    assert Account(uid=status.st_uid, gid=54321).reaches(file)
    assert Account(uid=54321, gid=status.st_gid).reaches(file)


def test_a_folder_that_cannot_be_listed_is_out_of_reach(file: Path) -> None:
    open_up(file)
    file.parent.chmod(0o711)
    assert not STRANGER.reaches(file.parent)
    assert STRANGER.reaches(file)


def test_a_free_port_can_be_bound_and_is_below_the_ephemeral_ones() -> None:
    port = free_port()
    assert port in PORTS
    with socket.socket() as listener:
        listener.bind((LOOPBACK, port))


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("12\n/data\n1\n2\n\n127.0.0.1\n1 2\nready   \n", True),
        ("12\n/data\n1\n2\n\n127.0.0.1\n1 2\nstarting\n", False),
        ("99\n/data\n1\n2\n\n127.0.0.1\n1 2\nready   \n", False),  # left by another postmaster
        ("12\n/data\n", False),
    ],
)
def test_a_postmaster_is_ready_when_its_own_pid_file_says_so(
    tmp_path: Path, text: str, ready: bool
) -> None:
    pid_file = tmp_path / "postmaster.pid"
    assert not says_ready(pid_file, 12)
    pid_file.write_text(text)
    assert says_ready(pid_file, 12) is ready
