"""How many server sessions there are, over time."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import NamedTuple, Self

from broker.errors import BrokerError
from broker.local.postgres import Postgres

INTERVAL_S = 0.1
SQL = """select count(*) from pg_stat_activity
         where backend_type = 'client backend' and pid <> pg_backend_pid()"""


class Sample(NamedTuple):
    """One look at pg_stat_activity, the gauge's own session left out."""

    at_s: float
    sessions: int


class Gauge:
    """Looks while it is open, over one superuser's session of its own that it opens first."""

    def __init__(self, postgres: Postgres) -> None:
        self.samples: list[Sample] = []
        self._connection = postgres.connect()
        self._started_s = time.monotonic()
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._look, name="gauge", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()
        if self._failure is not None and exc is None:
            raise BrokerError(f"the gauge went blind: {self._failure}") from self._failure

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                (sessions,) = self._connection.run(SQL)[0]
            except Exception as error:
                self._failure = error
                return
            at_s = time.monotonic() - self._started_s
            self.samples.append(Sample(at_s, int(sessions)))
            self._ended.wait(INTERVAL_S)

    @property
    def peak(self) -> int:
        """The most sessions that any look saw."""
        return max((sample.sessions for sample in self.samples), default=0)
