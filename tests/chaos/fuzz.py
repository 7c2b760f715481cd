"""`python -m tests.chaos.fuzz`: whatever a server answers, the protocol gives it or a typed error.

One input is a round trip and what comes for it: half of them as the protocol has it, half of them
broken; each is read as a whole and cut into pieces.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from rich.console import Console

from broker.errors import BrokerError, ProtocolError
from broker.wire.exchange import Exchange, Inbox, Wants
from broker.wire.protocol import Protocol
from tests.chaos import answers
from tests.chaos.answers import Drawn
from tests.unit.wire.peer import ready

INPUTS = 1_000_000
PROGRESS_EVERY = 100_000
FAILURES_SHOWN = 5
BYTE_BY_BYTE = 0.03  # of the inputs: these take the most time


class Read(NamedTuple):
    """What came of reading one answer."""

    events: list[Any]
    """COPY's beginnings and data, and what was to be sent, in order."""
    error: type[BrokerError] | None
    in_sync: bool
    answer: Any
    inbox: tuple[int, int]


def read(protocol: Protocol, exchange: Exchange, pieces: Iterator[bytes]) -> Read:
    """Let the protocol read these pieces; AssertionError where it does not keep its promises."""
    inbox = exchange.inbox = Inbox()
    events: list[Any] = []
    error: type[BrokerError] | None = None
    ended = False
    protocol.begin(exchange)
    assert not protocol.in_sync
    try:
        while True:
            wants = protocol.advance()
            if wants is Wants.NOTHING:
                ended = True
                break
            if wants is Wants.BYTES:
                assert protocol.missing > 0
                piece = next(pieces, None)
                if piece is None:
                    break
                protocol.receive(piece)
            elif wants is Wants.COPY_OUT:
                events.append(protocol.copied)
            else:
                events.append(wants)
            assert not protocol.in_sync
    except BrokerError as raised:
        error = type(raised)
        _assert_broken(protocol)
    assert protocol.in_sync == ended
    for result_set in exchange.result_sets:
        assert error or len({len(column) for column in result_set.cells}) <= 1
    answer = None if error else _answer(exchange)
    told = len(inbox.notices), len(inbox.notifications)
    return Read(events, error, ended, answer, told)


def _assert_broken(protocol: Protocol) -> None:
    """After an error nothing makes the session usable again."""
    assert not protocol.in_sync
    protocol.begin(Exchange(statements=0))
    protocol.receive(ready())
    try:
        protocol.advance()
    except ProtocolError:
        assert not protocol.in_sync
    else:
        raise AssertionError("it went on after an error")


def _answer(exchange: Exchange) -> tuple[Any, ...]:
    results = [_rows(result_set) for result_set in exchange.result_sets]
    refused = exchange.error is not None
    return exchange.prefix_rows, results, exchange.suffix_cell, refused, exchange.row_count


def _rows(result_set: Any) -> list[Any]:
    if not result_set.cells:
        return [[]] * result_set.empty_rows
    return [list(cells) for cells in zip(*result_set.cells, strict=False)]


def pieces_of(random: Random, data: bytes) -> Iterator[bytes]:
    """Yield the data in a few pieces, or now and then byte by byte."""
    if random.random() < BYTE_BY_BYTE:
        cuts = list(range(1, len(data)))
    else:
        cuts = sorted(int(random.random() * len(data)) for _ in range(int(random.random() * 8)))
    for start, end in pairwise([0, *cuts, len(data)]):
        yield data[start:end]


def check(seed: int) -> str:
    """Draw one input and check it; return how it ended. AssertionError where that is wrong."""
    random = Random(seed)
    drawn = answers.draw(random)
    is_whole = random.random() < 0.5
    data = b"".join(drawn.messages) if is_whole else answers.broken(random, drawn.messages)
    whole = read(Protocol(), drawn.exchange(), iter([data]))
    cut = read(Protocol(), drawn.exchange(), pieces_of(random, data))
    assert whole == cut, "the answer depends on how it was cut"
    if whole.in_sync:
        assert b"Z\0\0\0\5" in data
    if is_whole:
        _assert_as_drawn(drawn, whole)
    else:
        _check_idle(data)
    if whole.error is not None:
        return whole.error.__name__
    return "answered" if whole.in_sync else "waits for more"


def _assert_as_drawn(drawn: Drawn, found: Read) -> None:
    assert (found.error is not None) == drawn.fatal
    assert found.in_sync != drawn.fatal
    assert found.inbox == (drawn.notices, drawn.notifications)
    if drawn.fatal:
        return
    prefix_rows, results, suffix_cell, refused, _ = found.answer
    assert refused == drawn.refused
    if not refused:
        assert (prefix_rows, results) == (drawn.prefix_rows, drawn.result_sets)
        assert suffix_cell == drawn.suffix_cell


def _check_idle(data: bytes) -> None:
    """Check that what comes while no answer is expected is read, or ends the session."""
    protocol = Protocol()
    protocol.receive(data)
    try:
        protocol.read_asynchronous()
    except BrokerError:
        _assert_broken(protocol)
    else:
        assert protocol.in_sync


def main() -> int:
    """Check many inputs; 1 where one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=None, help="of the first input")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    first: int = secrets.randbelow(1 << 40) if options.seed is None else options.seed
    started_s = time.monotonic()
    ends: dict[str, int] = {}
    failures = 0
    for number in range(options.inputs):
        seed = first + number
        try:
            end = check(seed)
        except Exception as error:  # any is a failure
            failures += 1
            if failures <= FAILURES_SHOWN:
                console.print(f"seed {seed}: {type(error).__name__}: {error}")
                console.print(f"  again: python -m tests.chaos.fuzz --inputs 1 --seed {seed}")
            continue
        ends[end] = ends.get(end, 0) + 1
        if (number + 1) % PROGRESS_EVERY == 0:
            took_s = time.monotonic() - started_s
            console.print(f"{took_s:5.0f} s  {number + 1:,} inputs")
    took_s = time.monotonic() - started_s
    console.print(f"seed {first}: {options.inputs:,} inputs in {took_s:.0f} s, {failures} failures")
    for end, count in sorted(ends.items(), key=lambda each: -each[1]):
        console.print(f"  {count:9,}  {end}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
