"""A run of the reaper: look, judge, end, and leave a log line for each act."""

from __future__ import annotations

import functools
import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from broker import Broker
from broker.observe.emf import Line
from broker.observe.look import look
from broker.observe.reaper import reap
from broker.observe.verdict import Reason, Verdict, judge

from .rules import Rules

log = logging.getLogger("reaper")

METRICS: Mapping[Reason, str] = {
    Reason.ENDED: "SessionsReaped",
    Reason.END: "SessionsToReap",
    Reason.OVER_THE_MOST: "SessionsLeftOver",
    Reason.WOKE_UP: "SessionsWokeUp",
    Reason.NOT_ALLOWED: "SessionsNotAllowed",
}
"""Of a dry run, SessionsToReap is what would have been ended."""


@functools.cache
def database() -> Broker:
    """Return this environment's broker; it connects when it is first used."""
    return Broker.from_env()


def run(db: Broker, rules: Rules) -> dict[str, int]:
    """Return how many sessions got which verdict."""
    verdicts = judge(look(db), rules.policy)
    if rules.end:
        verdicts = reap(db, verdicts, rules.policy)
    for verdict in verdicts:
        if verdict.reason in METRICS:
            log.warning(json.dumps(evidence(verdict)))
    counts = Counter(verdict.reason for verdict in verdicts)
    figures = {name: (counts[reason], MetricUnit.Count) for reason, name in METRICS.items()}
    line = Line({"server": rules.server}, figures)
    print(line.text(db.settings.metrics_namespace), flush=True)  # noqa: T201
    return {reason.value: number for reason, number in counts.items()}


def evidence(verdict: Verdict) -> dict[str, Any]:
    """Return what the log keeps: who it was and for how long, and no statement's text."""
    backend = verdict.backend
    return {
        "verdict": verdict.reason.value,
        "pid": backend.pid,
        "application": backend.application,
        "role": backend.user,
        "database": backend.database,
        "address": backend.address,
        "idle_s": round(backend.state_s or 0.0, 1),
        "transaction_s": round(backend.transaction_s or 0.0, 1),
        "request_id": verdict.request_id,
    }
