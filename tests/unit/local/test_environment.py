"""What an environment does when its process ends, or its runtime speaks out of turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from broker.local.environment import Environment, OutOfTurn
from broker.local.environment_info import EnvironmentState
from broker.local.function import Function
from broker.local.invocation import InvocationStatus, Request
from broker.local.logs import LogPipe


def environment() -> Environment:
    """Give one that has no process, and so cannot be signalled."""
    described = Function(name="orders", handler="app.handler", code=Path(__file__).parent)
    return Environment("orders-1", described, freeze=True, init_timeout_s=60)


async def served(one: Environment, request: Request) -> asyncio.Task[Request]:
    """Serve a request from cold to its answer, and give the runtime's wait for the next."""
    one.assign(request)
    assert await one.next() is request
    one.answer(request.id, b'{"n": 1}', "application/json")
    waiting = asyncio.create_task(one.next())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return waiting


def test_an_invocation_is_over_only_when_the_environment_is_at_rest():
    """Whoever has the answer can use the same environment at once."""

    async def scenario() -> None:
        one, request, states = environment(), Request("orders", b"null"), []
        request.future.add_done_callback(lambda _: states.append(one.state))
        waiting = await served(one, request)

        assert states == [EnvironmentState.FROZEN]
        assert request.future.result(0).result() == {"n": 1}
        waiting.cancel()

    asyncio.run(scenario())


def test_what_a_request_logged_is_read_before_the_request_is_over():
    async def scenario() -> None:
        one, request, order = environment(), Request("orders", b"null"), []
        request.future.add_done_callback(lambda _: order.append("over"))
        logs = create_autospec(LogPipe, instance=True)
        logs.drain.side_effect = lambda: order.append("read")
        one.logs = logs
        (await served(one, request)).cancel()

        assert order == ["read", "over"]

    asyncio.run(scenario())


def test_a_request_that_a_dead_process_never_got_is_given_back():
    """It is safe to place again: nothing has seen it."""

    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        waiting = await served(one, Request("orders", b"null"))
        waiting.cancel()  # the connection closed
        await asyncio.wait([waiting])
        one.assign(request)

        assert one.ended(-9) is request
        assert not request.future.done()

    asyncio.run(scenario())


def test_a_request_that_was_handed_over_is_never_given_back():
    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        waiting = await served(one, Request("orders", b"null"))
        one.assign(request)
        await waiting

        assert one.ended(-9) is None
        assert request.future.result(0).status is InvocationStatus.CRASHED

    asyncio.run(scenario())


def test_an_answer_counts_even_if_the_process_ends_before_it_asks_for_more():
    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        one.assign(request)
        await one.next()
        one.answer(request.id, b"7", "application/json")

        assert one.ended(1) is None
        assert request.future.result(0).result() == 7

    asyncio.run(scenario())


def test_a_start_that_dies_is_a_crash_and_not_tried_again():
    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        one.assign(request)

        assert one.ended(1) is None
        assert request.future.result(0).status is InvocationStatus.CRASHED

    asyncio.run(scenario())


def test_an_answer_to_a_request_of_another_is_refused():
    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        one.assign(request)
        await one.next()
        with pytest.raises(OutOfTurn, match="does not serve 42"):
            one.answer("42", b"null", "application/json")
        one.ended(-9)

    asyncio.run(scenario())


def test_a_runtime_that_only_connects_again_ends_no_request():
    async def scenario() -> None:
        one, request = environment(), Request("orders", b"null")
        waiting = await served(one, Request("orders", b"null"))
        waiting.cancel()
        await asyncio.wait([waiting])
        one.assign(request)

        assert await one.next() is request
        one.ended(-9)

    asyncio.run(scenario())
