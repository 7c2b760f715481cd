"""Which environments could take a request."""

from __future__ import annotations

import asyncio
from pathlib import Path

from broker.local.deployment import Deployment
from broker.local.environment import Environment
from broker.local.function import Function
from broker.local.logs import LogBuffer

FUNCTION = Function(name="orders", handler="app.handler", code=Path(__file__).parent)


def idle_after(*, held: bool = False, replaced: bool = False, offered: int = 1) -> int:
    """Count the idle environments after one was offered."""

    async def scenario() -> int:
        deployment = Deployment(FUNCTION, LogBuffer("orders", max_lines=1))
        environment = Environment("orders-1", FUNCTION, freeze=True, init_timeout_s=60)
        deployment.add(environment)
        environment.held = held
        if replaced:
            deployment.replace(Function(name="orders", handler="app.other", code=FUNCTION.code))
        for _ in range(offered):
            deployment.offer(environment)
        environment.ended(0)
        return deployment.idle_count()

    return asyncio.run(scenario())


def test_an_environment_at_rest_can_take_a_request():
    assert idle_after() == 1


def test_an_environment_that_comes_to_rest_while_held_cannot():
    assert idle_after(held=True) == 0


def test_an_environment_of_an_older_version_cannot():
    assert idle_after(replaced=True) == 0


def test_an_environment_is_never_counted_twice():
    assert idle_after(offered=3) == 1
