"""What a function's environments write to stdout and stderr, line by line."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable

CHUNK_BYTES = 65_536  # a Linux pipe's capacity: one read empties it
MAX_DRAIN_CHUNKS = 64  # 4 MiB: far more than a pipe holds
MAX_LINE_BYTES = 262_144  # CloudWatch Logs' classic limit for one event; longer ones are cut up

OnLog = Callable[[str, str], None]
"""Gets the function's name and one line, on the fleet's loop: be quick, and call no fleet."""

_log = logging.getLogger(__name__)


class LogBuffer:
    """The last lines of one function; older ones are dropped."""

    def __init__(self, name: str, *, max_lines: int, on_line: OnLog | None = None) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=max_lines)
        self._on_line = on_line

    def append(self, line: str) -> None:
        """Keep a line and show it to whoever asked for them; their errors stay here."""
        self._lines.append(line)
        if self._on_line is None:
            return
        try:
            self._on_line(self.name, line)
        except Exception:
            _log.exception("the log callback failed for a line of %s", self.name)

    def lines(self) -> list[str]:
        """Give the lines kept, oldest first."""
        return list(self._lines)


class LogPipe:
    """One environment's pipe: read as soon as anything is in it, so that no write blocks."""

    def __init__(self, read_fd: int, buffer: LogBuffer) -> None:
        self._fd = read_fd
        self._buffer = buffer
        self._partial = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(read_fd, False)
        self._loop.add_reader(read_fd, self._read_once)
        self._open = True

    def drain(self) -> None:
        """Take what was written so far; a writer that never stops cannot hold us up."""
        for _ in range(MAX_DRAIN_CHUNKS):
            if not self._open or not self._read_once():
                break

    def close(self) -> None:
        """Take the rest, an unfinished line included, and close the pipe."""
        self.drain()
        if self._open:
            self._end()

    def _read_once(self) -> bool:
        try:
            chunk = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._end()
            return False
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            lines, self._partial = [*lines, self._partial], b""
        for line in lines:
            self._emit(line)
        return True

    def _end(self) -> None:
        self._open = False
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._partial:
            self._emit(self._partial)

    def _emit(self, line: bytes) -> None:
        self._buffer.append(line.decode(errors="replace"))
