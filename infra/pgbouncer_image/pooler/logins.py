"""Failed logins. PgBouncer (1.24) counts them nowhere: no SHOW has them, and its log lines do.

`log_pooler_errors`, on by default, writes what a client is told before it is sent away;
`server login failed` is the server's refusal. The texts are PgBouncer's own, in English always.
"""

from __future__ import annotations

import re
from pathlib import Path

FAILED = re.compile(
    rb" WARNING (?:"
    # the server refused the pooler: its password, its limits, its database
    rb"server login failed"
    rb"|C-\S+: \S+ pooler error: (?:"
    # the pooler refused a client: its name or password, then its database, its TLS
    rb"SASL authentication failed|no such user|login rejected|client selected an invalid SASL"
    rb"|no such database|database \"|SSL required|unsupported |no username|username too long"
    # … or there was no place, or it took too long
    rb"|no more connections allowed|client connections exceeded|client_login_timeout"
    # … or it cannot log in at the server itself, and says so to each client that comes
    rb"|server login has been failing|server login failed))"
)


class FailedLogins:
    """Counts them in one process' log, from where it ends now."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._place = log.stat().st_size if log.exists() else 0
        self._rest = b""

    def count(self) -> int:
        """Return how many there were since the last time; 0 while there is no log."""
        try:
            with self._log.open("rb") as log:
                if log.seek(0, 2) < self._place:  # it was emptied
                    self._place, self._rest = 0, b""
                log.seek(self._place)
                failed = sum(self._count(chunk) for chunk in iter(lambda: log.read(65_536), b""))
                self._place = log.tell()
                return failed
        except FileNotFoundError:
            return 0

    def _count(self, chunk: bytes) -> int:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return sum(FAILED.search(line) is not None for line in lines)
