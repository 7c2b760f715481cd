"""A cut: one flight that a hop lets fail at one exact moment, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.link import Link


class Moment(Enum):
    """When the flight is cut."""

    BEFORE = "before the server saw it"
    AFTER = "after the server answered it"


Flight = tuple[str, ...]
"""The statements in it, in lower case; at least one."""
Harm = Callable[["Link"], None]
"""What is done at that moment. It runs on a thread of its own: it may wait."""


@dataclass(eq=False)
class Cut:
    """Strikes the first flight that it wants.

    `harm` does the damage: ends the link or its backend, freezes the environment. With
    `goes_on`, the flight (or what the server says afterwards) then takes its way.
    """

    wants: Callable[[Flight], bool]
    moment: Moment
    harm: Harm
    goes_on: bool = False
    struck: threading.Event = field(default_factory=threading.Event)

    async def strike(self, link: Link, flight: bytes) -> None:
        """Do it to this flight."""
        if self.moment is Moment.AFTER:
            await link.answered(flight)
        self.struck.set()
        await asyncio.get_running_loop().run_in_executor(None, self.harm, link)
        if self.moment is Moment.AFTER:
            if self.goes_on:
                link.hear_again()
        elif self.goes_on:
            await link.forward(flight)


def is_commit(flight: Flight) -> bool:
    """Want COMMIT, in a flight of its own."""
    return flight[0].startswith("commit")


def is_write(flight: Flight) -> bool:
    """Want an insert of a transaction's."""
    return any(sql.startswith("insert") for sql in flight) and not is_lone_write(flight)


def is_lone_write(flight: Flight) -> bool:
    """Want an insert that commits by itself."""
    return any("/* alone */" in sql for sql in flight)


def is_begin(flight: Flight) -> bool:
    """Want the first flight of a transaction."""
    return flight[0].startswith("begin") and not is_read(flight)


def is_read(flight: Flight) -> bool:
    """Want a `db.read`, with its BEGIN and its COMMIT."""
    return flight[0].startswith("begin read only")
