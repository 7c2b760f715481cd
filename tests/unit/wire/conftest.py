"""A server's end for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.wire.peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Make a socket pair, and close both ends of it afterwards."""
    made = Peer()
    yield made
    made.close()
