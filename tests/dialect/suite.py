"""The suite's tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import suite
from sqlalchemy.testing.suite import *  # noqa: F403


class ServerSideCursorsTest(suite.ServerSideCursorsTest):  # type: ignore[no-redef]
    """The suite knows a server-side cursor by the names of SQLAlchemy's own drivers."""

    def _is_server_side(self, cursor: Any) -> bool:
        return getattr(cursor, "server_side", False)
