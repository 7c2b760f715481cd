"""What Lambda does to an environment beside invoking it: SnapStart, and SIGTERM at its end.

Fork is seen to by Broker itself. Everything here holds its brokers weakly and changes nothing for
who creates a Broker outside of Lambda.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Mapping
from types import FrameType
from typing import Protocol

SNAP_START = "snap-start"  # AWS_LAMBDA_INITIALIZATION_TYPE
CLOSING_S = 0.3  # of the 500 ms that the runtime has after SIGTERM (FACTS 3)


class Alive(Protocol):
    """What is done to a Broker; it must be hashable and weakly referable."""

    def close(self) -> None:
        """End the sessions for good."""

    def before_snapshot(self) -> None:
        """End the sessions: a snapshot's copies must not share them."""

    def after_restore(self) -> None:
        """Draw new random numbers and fetch credentials anew."""


_ending: weakref.WeakSet[Alive] = weakref.WeakSet()


def watch(broker: Alive, environ: Mapping[str, str]) -> None:
    """Let the broker know of snapshots, restores and SIGTERM, where this is Lambda."""
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == SNAP_START:
        _hook_snapshots(broker)
    if "AWS_LAMBDA_RUNTIME_API" in environ:
        _close_at_sigterm(broker)


def _hook_snapshots(broker: Alive) -> None:
    # late: only the runtime of a SnapStart function has it
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    register_before_snapshot(broker.before_snapshot)
    register_after_restore(broker.after_restore)


def _close_at_sigterm(broker: Alive) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # Python lets only the main thread set handlers
    if not _ending:
        _Handler(signal.getsignal(signal.SIGTERM)).install()
    _ending.add(broker)


class _Handler:
    """Closes the brokers, then does what would have been done without it."""

    def __init__(self, previous: object) -> None:
        self._previous = previous

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # In a thread of its own: the interrupted one may hold a pool's lock.
        closing = threading.Thread(target=_close_all, daemon=True)
        closing.start()
        closing.join(CLOSING_S)
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _close_all() -> None:
    for broker in list(_ending):
        broker.close()
