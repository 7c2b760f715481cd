"""The Runtime API is taken down at once, whatever is asked of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from broker.local.environment import Environment
from broker.local.environment_info import EnvironmentState
from broker.local.function import Function
from broker.local.runtime_api import PREFIX, RuntimeApi

NEXT = f"GET {PREFIX}invocation/next HTTP/1.1\r\nHost: lambda\r\n\r\n".encode()


def test_taking_it_down_ends_the_requests_that_wait(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> bytes:
        api = RuntimeApi()
        described = Function(name="orders", handler="app.handler", code=Path(__file__).parent)
        waiting = Environment("orders-1", described, freeze=False, init_timeout_s=60)
        host, _, port = (await api.open(waiting)).partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(NEXT)
        async with asyncio.timeout(30):
            while waiting.state is EnvironmentState.INIT:
                await asyncio.sleep(0.01)
        await asyncio.wait_for(api.close_all(), 30)
        answer = await reader.read()
        writer.close()
        return answer

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(scenario()) == b""
    assert caplog.records == []
