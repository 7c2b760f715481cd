"""How a process parts with the clients that are between two transactions."""

from __future__ import annotations

import time

from .console import NoAnswer, tell
from .directory import Directory
from .supervisor import say

LIMIT_S = 1.0
AT_ONCE = (
    "SET client_idle_timeout = '0.00001'"  # seconds; three times a second it looks who is idle
)


def part_with_idle_clients(directory: Directory, process: int) -> None:
    """Have the process disconnect each client that has no server, and say so to the client.

    Without it, those that are idle when the last transaction ends are cut off by the process' end,
    with no word. A statement that one of them sends just then is lost unread, and its client cannot
    tell that from one that ran. With it each is told `client_idle_timeout` beforehand: nothing ran,
    and the library sends the statement again, on another session.
    """
    try:
        tell(directory.socket(process), AT_ONCE, time.monotonic() + LIMIT_S)
    except (NoAnswer, FileNotFoundError) as error:  # it drains all the same, less gently
        say(f"process {process} {error}")
