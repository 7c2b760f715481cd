"""Lines come out whole and in order, however they were written, and never too many."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.local.logs import MAX_LINE_BYTES, LogBuffer, LogPipe


def collect(chunks: list[bytes], max_lines: int = 1_000) -> list[str]:
    async def write_and_drain() -> list[str]:
        buffer = LogBuffer("orders", max_lines=max_lines)
        read_fd, write_fd = os.pipe()
        pipe = LogPipe(read_fd, buffer)
        for chunk in chunks:
            os.write(write_fd, chunk)
            pipe.drain()
        os.close(write_fd)
        pipe.close()
        return buffer.lines()

    return asyncio.run(write_and_drain())


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
def test_lines_are_whole_wherever_the_writes_were_cut(lines):
    whole = "".join(f"{line}\n" for line in lines).encode()
    halves = [whole[: len(whole) // 3], whole[len(whole) // 3 :]]

    assert collect([half for half in halves if half]) == lines


def test_an_unfinished_last_line_is_kept():
    assert collect([b"one\ntw", b"o"]) == ["one", "two"]


def test_only_the_last_lines_are_kept():
    assert collect([b"1\n2\n3\n"], max_lines=2) == ["2", "3"]


def test_an_endless_line_is_cut_up():
    chunk = b"x" * 60_000
    got = collect([chunk] * (MAX_LINE_BYTES // len(chunk) + 2))

    assert len(got) > 1
    assert max(map(len, got)) <= MAX_LINE_BYTES + len(chunk)


def test_a_failing_callback_costs_no_line(caplog: pytest.LogCaptureFixture):
    def fail(name: str, line: str) -> None:
        raise ValueError(line)

    buffer = LogBuffer("orders", max_lines=5, on_line=fail)
    buffer.append("one")

    assert buffer.lines() == ["one"]
    assert "the log callback failed for a line of orders" in caplog.text
