"""What a connection of the DB-API has of its own, while sessions come and go."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from pg8000.converters import PG_TYPES, PY_TYPES, string_in

from broker.wire.session import Session

REMARKS_KEPT = 100  # pg8000's own number
_WORN = ("py_types", "pg_types", "_descriptions", "notices", "notifications")


class Belongings:
    """Converters, and the server's remarks; the names and contents are pg8000's.

    A session wears them for as long as the connection has it: what is registered here reaches
    nobody else who uses that session.
    """

    def __init__(self) -> None:
        self.py_types: dict[type, Callable[[Any], Any]] = dict(PY_TYPES)
        self.pg_types: dict[int, Callable[[str], Any]] = defaultdict(lambda: string_in, PG_TYPES)
        self.notices: deque[dict[bytes, bytes]] = deque(maxlen=REMARKS_KEPT)
        self.notifications: deque[tuple[int, str, str]] = deque(maxlen=REMARKS_KEPT)
        self.parameter_statuses: dict[str, str] = {}
        self._descriptions: dict[bytes, object] = {}
        self._bare: dict[str, Any] = {}

    def register_in_adapter(self, oid: int, in_func: Callable[[str], Any]) -> None:
        """Convert this type of the server's with `in_func` from here on."""
        self.pg_types[oid] = in_func
        self._descriptions.clear()  # they name converters

    def put_on(self, session: Session) -> None:
        """Let the session use these from here on."""
        self._bare = {name: getattr(session, name) for name in _WORN}
        for name in _WORN:
            setattr(session, name, getattr(self, name))
        self.parameter_statuses = session.parameter_statuses

    def take_off(self, session: Session) -> None:
        """Let the session be as before."""
        for name, worn in self._bare.items():
            setattr(session, name, worn)
        self._bare = {}
