"""Draw what a server answers to one round trip: as the protocol has it, and broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from struct import pack

from broker.wire.exchange import Exchange
from broker.wire.startup import StartUp
from tests.unit.wire.peer import (
    BOUND,
    INT4,
    NO_DATA,
    PARSED,
    TEXT,
    WELCOME,
    described,
    done,
    message,
    noticed,
    notified,
    ready,
    refused,
    row,
)

Rows = list[list[bytes | None]]
CELLS = (None, b"", b"1", b"abc", b"\0\0\0\4", b"D\0\0\0\x0e", b"Z\0\0\0\5I", b"x" * 300)
CODES = b"123ACDEGHIKNRSTWZcdnstv?\0\xff"
LENGTHS = (-(2**31), -1, 0, 3, 4, 5, 40, 2**31 - 1)
FATAL = refused("57P01", "terminating connection", "FATAL")
COPY_IN, COPY_OUT, COPY_OVER = message(b"G", b"\0\0\0"), message(b"H", b"\0\0\0"), message(b"c")
EMPTY, CLOSED, SETTING = message(b"I"), message(b"3"), message(b"S", b"TimeZone\0UTC\0")
SCRAM = message(b"R", pack("!i", 10) + b"SCRAM-SHA-256\0\0")
SCRAM_ON = message(b"R", pack("!i", 11) + b"r=x,s=eA==,i=4096")
SCRAM_OVER = message(b"R", pack("!i", 12) + b"v=eA==")


@dataclass
class Drawn:
    """One round trip, and what its answer says if nothing was broken."""

    prefixes: int = 0
    statements: int = 1
    synced: bool = True
    starting: bool = False
    messages: list[bytes] = field(default_factory=list)
    prefix_rows: Rows = field(default_factory=list)
    result_sets: list[Rows] = field(default_factory=list)
    suffix_cell: bytes | None = None
    notices: int = 0
    notifications: int = 0
    refused: bool = False
    fatal: bool = False

    def exchange(self) -> Exchange:
        """Return the round trip as the protocol is told of it."""
        starting = StartUp({"user": "app"}, "s3cret") if self.starting else None
        return Exchange(self.prefixes, self.statements, synced=self.synced, starting=starting)


def draw(random: Random) -> Drawn:
    """Draw a round trip and an answer to it that is as it should be."""
    kind = random.random()
    if kind < 0.05:
        drawn = Drawn(starting=True, messages=[WELCOME[:9], SETTING, WELCOME[9:]])
    elif kind < 0.2:
        drawn = _query(random)
    elif kind < 0.3:
        drawn = _copy(random)
    else:
        drawn = _statements(random)
    if not drawn.starting:
        _refuse(random, drawn)
        drawn.messages.append(ready(random.choice((b"I", b"T", b"E"))))
    _put_asides(random, drawn)
    return drawn


def _table(random: Random) -> tuple[bytes, Rows]:
    width = random.randrange(4)
    columns = [(f"c{number}", random.choice((INT4, TEXT))) for number in range(width)]
    rows = [[random.choice(CELLS) for _ in range(width)] for _ in range(random.randrange(4))]
    return described(*columns), rows


def _statements(random: Random) -> Drawn:
    drawn = Drawn(random.randrange(3), random.randrange(1, 4))
    for _ in range(drawn.prefixes):
        drawn.messages += [PARSED, BOUND]
        if random.random() < 0.5:
            drawn.prefix_rows.append([random.choice(CELLS), b"x"])
            drawn.messages.append(row(*drawn.prefix_rows[-1]))
        drawn.messages.append(done("SELECT 1"))
    columns: bytes | None = None
    for number in range(drawn.statements):
        if not number or random.random() < 0.3:  # another group, or another statement
            columns, rows = _table(random) if random.random() < 0.8 else (None, [])
            drawn.messages += [PARSED, BOUND, columns or NO_DATA]
            if columns:
                drawn.result_sets.append([])
        else:
            rows = [] if columns is None else [list(each) for each in rows]
            drawn.messages.append(BOUND)
        drawn.messages += [row(*each) for each in rows]
        if columns:
            drawn.result_sets[-1] += rows
        empty = columns is None and random.random() < 0.2
        drawn.messages.append(EMPTY if empty else done(f"SELECT {len(rows)}"))
    if random.random() < 0.4:
        drawn.suffix_cell = random.choice(CELLS)
        drawn.messages += [PARSED, BOUND, row(drawn.suffix_cell), done("SELECT 1")]
    return drawn


def _query(random: Random) -> Drawn:
    drawn = Drawn(synced=False)
    for _ in range(random.randrange(1, 4)):
        if random.random() < 0.3:
            drawn.messages.append(random.choice((done("SET"), EMPTY)))
            continue
        columns, rows = _table(random)
        drawn.result_sets.append(rows)
        drawn.messages += [columns, *(row(*each) for each in rows), done(f"SELECT {len(rows)}")]
    return drawn


def _copy(random: Random) -> Drawn:
    drawn = Drawn(synced=random.random() < 0.7)
    ahead = [PARSED, BOUND, NO_DATA] if drawn.synced else []
    if random.random() < 0.5:
        data = [message(b"d", random.choice(CELLS) or b"") for _ in range(random.randrange(4))]
        drawn.messages = [*ahead, COPY_OUT, *data, COPY_OVER, done("COPY 1")]
        return drawn
    drawn.messages = [*ahead, COPY_IN, done("COPY 1")]
    if drawn.synced:  # COPY has taken the first Sync
        drawn.messages += [ready(), CLOSED]
    return drawn


def _refuse(random: Random, drawn: Drawn) -> None:
    """Let a statement fail, or the session end: what would have come is not sent."""
    if CLOSED in drawn.messages or random.random() > 0.2:
        return
    drawn.refused, drawn.fatal = True, random.random() < 0.3
    at = random.randrange(len(drawn.messages))
    drawn.messages[at:] = [FATAL if drawn.fatal else refused("23505")]


def _put_asides(random: Random, drawn: Drawn) -> None:
    for _ in range(random.randrange(3)):
        at = random.randrange(len(drawn.messages))
        if drawn.fatal and at == len(drawn.messages) - 1:
            at = 0
        aside = random.choice((noticed(), notified("c", "p"), SETTING))
        drawn.notices += aside[:1] == b"N"
        drawn.notifications += aside[:1] == b"A"
        drawn.messages.insert(at, aside)


def broken(random: Random, messages: list[bytes]) -> bytes:
    """Return an answer in which something is wrong: the order, a length, a byte, the end."""
    messages = list(messages)
    for _ in range(random.randrange(1, 4)):
        _break(random, messages)
    data = bytearray(b"".join(messages))
    if data and random.random() < 0.3:
        data[random.randrange(len(data))] = random.choice(CODES)
    if data and random.random() < 0.3:
        del data[random.randrange(len(data)) :]
    return bytes(data)


def _break(random: Random, messages: list[bytes]) -> None:
    at = random.randrange(len(messages) + 1)
    there = random.randrange(len(messages)) if messages else None
    choice = random.randrange(7)
    if choice == 0 and there is not None:
        del messages[there]
    elif choice == 1 and there is not None:
        messages.insert(at, messages[there])
    elif choice == 2 and there is not None:
        messages.insert(min(at, len(messages) - 1), messages.pop(there))
    elif choice == 3 and there is not None:  # its length is not true
        each = messages[there]
        messages[there] = each[:1] + pack("!i", random.choice(LENGTHS)) + each[5:]
    elif choice == 4 and there is not None:  # its body is cut, its length is right
        each = messages[there]
        messages[there] = message(each[:1], each[5 : 5 + random.randrange(max(len(each) - 5, 1))])
    elif choice == 5:
        code = bytes([random.choice(CODES)])
        messages.insert(at, message(code, random.randbytes(random.randrange(12))))
    else:
        stray = (FATAL, refused(""), ready(b"?"), COPY_IN, COPY_OUT, CLOSED, row("1"))
        more = (described(("n", INT4)), *(() if random.random() < 0.98 else (SCRAM_ON,)))
        messages.insert(at, random.choice((*stray, *more, SCRAM, SCRAM_OVER, WELCOME)))
