"""The same handler on a library that breaks a promise: which one, BREAK says."""

from __future__ import annotations

import importlib
import os
import time
from typing import Any

from broker import ConnectionLost, OutcomeUnknown

ledger: Any = importlib.import_module("ledger")  # beside this one, in no package
db = ledger.db
kept: list[object] = []  # what leaks is not collected


def replays(token, step, hang_s):
    """Send a write again although its answer was lost."""
    try:
        return ledger_run(token, step, hang_s)
    except (OutcomeUnknown, ConnectionLost):
        return ledger_run(token, step, hang_s)


def trusts(token, step, hang_s):
    """Take a lost session for a success."""
    try:
        return ledger_transaction(token, step, hang_s)
    except (OutcomeUnknown, ConnectionLost):
        return []


def denies(token, step, hang_s):
    """Say that nothing was kept where nobody knows."""
    try:
        return ledger_run(token, step, hang_s)
    except OutcomeUnknown as error:
        raise ConnectionLost from error


def mixes_up(token, step, hang_s):
    """Answer with a row of somebody else's."""
    ledger_run(token, step, hang_s)
    return ["another's"]


def stays_open(token, step, hang_s):
    """Leave a transaction open, and hide it from the leak check."""
    if not kept:
        session = db._pool._open_session(db._current.deadline())
        session.execute(b"select 1", [()], db._current.deadline(), begin=b"begin")
        kept.append(session)
    return ledger_run(token, step, hang_s)


def leaks(token, step, hang_s):
    """Open a descriptor each time."""
    kept.append(os.open(os.devnull, os.O_RDONLY))
    return ledger_run(token, step, hang_s)


def overstays(token, step, hang_s):
    """Go on after the deadline."""
    time.sleep(60)
    return ledger_run(token, step, hang_s)


def escapes(token, step, hang_s):
    """Let a socket's error out."""
    raise ConnectionResetError


ledger_run, ledger_transaction = ledger.run, ledger.transaction
_BREAK = os.environ["BREAK"]
setattr(ledger, "transaction" if _BREAK == "trusts" else "run", globals()[_BREAK])
handler = ledger.handler
