"""Whatever is handed to the loop is run or refused: nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from broker.errors import UsageError
from broker.local.fleet_errors import FleetClosed
from broker.local.loop_thread import LoopThread


def test_a_call_gives_what_the_function_gives_or_raises():
    loop = LoopThread("test")

    assert loop.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        loop.call(divmod, 7, 0)
    loop.close()


def test_a_closed_loop_refuses_everything():
    loop = LoopThread("test")
    loop.close()
    loop.close()

    for use in (loop.call, loop.post):
        with pytest.raises(FleetClosed):
            use(print)


def test_closing_ends_the_wait_of_whoever_waits():
    loop = LoopThread("test")
    waiting, ends = threading.Event(), []

    async def wait_for_ever() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def wait() -> None:
        with pytest.raises(FleetClosed):
            loop.run(wait_for_ever())
        ends.append("refused")

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(30)
    loop.close()
    thread.join(30)

    assert ends == ["refused"]


def test_what_was_posted_before_the_close_is_run():
    loop = LoopThread("test")
    seen: list[int] = []
    for number in range(1_000):
        loop.post(seen.append, number)
    loop.close()

    assert seen == list(range(1_000))


def test_waiting_for_the_loop_on_the_loop_is_refused():
    loop = LoopThread("test")
    with pytest.raises(UsageError, match="cannot wait for itself"):
        loop.call(lambda: loop.call(print))
    loop.close()
