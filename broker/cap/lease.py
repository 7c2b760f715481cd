"""The rules of a lease, pure: who may take a slot, when a session may be used under its lease.

A slot is one session's place under the cap, and a row of the table. Times in it are milliseconds
of the writer's wall clock. The promise: at every moment at most one session lives for a slot. It
rests on one inequality, which `spare_s` computes and docs/cap.md proves:

    a use begins only while  life left  >=  use + afterlife + 2 · skew + margin
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

SKEW_S = 5.0  # a wall clock is at most this far from true time; each answer's Date checks it
SKEW_SEEN_S = 3.0  # tolerated against Date; the other 2 s are Date's resolution and the way
MARGIN_S = 5.0  # the way to the server, its timers' rounding, and clocks that run unequally fast
RENEW_SHARE = 1 / 3  # of the life gone, when a use renews it


class Item(NamedTuple):
    """A slot's row: whose it is and until when."""

    token: str
    expires_ms: int


class Step(Enum):
    """What a use must do about the lease first."""

    USE = "use"
    RENEW = "renew"
    """Renew, and use it even if that cannot be done now."""
    RENEW_FIRST = "renew_first"
    """Use it only once it is renewed."""


class Terms(NamedTuple):
    """How leases are given. Times are in seconds."""

    name: str
    cap: int
    life_s: float
    skew_s: float = SKEW_S
    margin_s: float = MARGIN_S

    def spare_s(self, use_s: float, afterlife_s: float) -> float:
        """Return the life that must be left when a use of at most `use_s` begins.

        `afterlife_s` is for how long the server may keep a session after its client's last word.
        The skew counts twice: the owner's clock may be behind and the taker's ahead.
        """
        return max(use_s, 0.0) + afterlife_s + 2 * self.skew_s + self.margin_s


def judge(elapsed_s: float, use_s: float, afterlife_s: float, terms: Terms) -> Step:
    """Return what a use must do, `elapsed_s` after the last granted request was begun."""
    if terms.life_s - elapsed_s < terms.spare_s(use_s, afterlife_s):
        return Step.RENEW_FIRST
    return Step.RENEW if elapsed_s >= terms.life_s * RENEW_SHARE else Step.USE


# What the table's conditional writes let through. Each is safe to deliver twice, and late: what
# arrives after a later write of the same owner never shortens its lease.


def may_take(item: Item | None, wanted: Item, now_ms: int) -> bool:
    """Tell whether `wanted` may be put in the slot by somebody whose clock says `now_ms`."""
    if item is None or item.expires_ms < now_ms:
        return True
    return item.token == wanted.token and item.expires_ms <= wanted.expires_ms


def may_renew(item: Item | None, wanted: Item) -> bool:
    """Tell whether the owner's lease may be prolonged; an expired one that nobody took, too."""
    return item is not None and item.token == wanted.token and item.expires_ms <= wanted.expires_ms


def may_delete(item: Item | None, token: str) -> bool:
    """Tell whether the slot is this owner's to give back."""
    return item is not None and item.token == token


def is_astray(before_s: float, after_s: float, date_s: float, tolerated_s: float) -> bool:
    """Tell whether a wall clock that read these around a request contradicts the answer's Date.

    Date is the table's own clock in whole seconds, so true time was in [date, date + 1).
    """
    return before_s - tolerated_s > date_s + 1 or after_s + tolerated_s < date_s
