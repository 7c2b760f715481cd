"""pytest fixtures for those who test handlers; `pytest_plugins = ["broker.testing"]` loads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import handler


@pytest.fixture
def broker_strict() -> Iterator[None]:
    """Let an invocation that leaves a transaction or a session open raise LeftOpen."""
    before = handler.strict_everywhere
    handler.strict_everywhere = True
    yield
    handler.strict_everywhere = before
