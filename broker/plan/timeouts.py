"""Timeouts in the order that works: each waits less long than what stands around it."""

from __future__ import annotations

import math

from broker.plan.deployment import Deployment, Flavour
from broker.plan.draft import Draft

CLIENT_IDLE_S = 240  # BROKER_IDLE_TIMEOUT_S's default
POOLER_IDLE_S = 300  # below NLB's 350 s (FACTS 7); the client has left by then
SERVER_IDLE_S = 600  # PgBouncer's own default for its idle server sessions
ROLE_IDLE_S = {  # the server is the last to leave
    Flavour.DIRECT: 300,  # soon after the client itself: a lease must outlive it (broker/cap)
    Flavour.PGBOUNCER: 900,
    Flavour.RDS_PROXY: 900,
}
QUEUE_MOST_S = 10
QUEUE_SHARE = 3  # of the shortest function's time, a third for waiting, the rest for its work
MARGIN_S = 1
UNKNOWN_TIMEOUT_S = 30.0


def add_timeouts(draft: Draft, deployment: Deployment) -> None:
    """Write down queue wait < function, statement < function, idle: client < pooler < server."""
    numbers, flavour = draft.numbers, deployment.middle.flavour
    timeouts = [each.timeout_s for each in deployment.applications] or [UNKNOWN_TIMEOUT_S]
    shortest, longest = min(timeouts), max(timeouts)
    queue = max(1, min(QUEUE_MOST_S, math.floor(shortest / QUEUE_SHARE)))
    queue_how = f"a third of the shortest timeout {shortest:g} s, at most {QUEUE_MOST_S} s"
    if flavour is not Flavour.DIRECT:
        name = "query_wait_timeout" if flavour is Flavour.PGBOUNCER else "connection_borrow_timeout"
        numbers.whole(name, queue, "s", queue_how, source="below the Lambda timeout")
    # Nothing rides behind RDS Proxy (FACTS 4), so there the role's limit is every function's.
    bound = shortest if flavour is Flavour.RDS_PROXY else longest
    which = "shortest" if flavour is Flavour.RDS_PROXY else "longest"
    statement = numbers.whole(
        "statement_timeout",
        max(1, math.ceil(bound) - MARGIN_S),
        "s",
        f"{MARGIN_S} s below the {which} timeout {bound:g} s; each function's own deadline is "
        + ("not sent behind RDS Proxy" if flavour is Flavour.RDS_PROXY else "sent with the flight"),
    )
    numbers.whole(
        "lock_timeout",
        min(statement, queue),
        "s",
        f"a wait for a lock holds a session: no longer than a wait for a session, {queue} s",
        "statement_timeout",
    )
    transaction = numbers.whole(
        "idle_in_transaction_session_timeout",
        math.ceil(longest) + 2 * MARGIN_S,
        "s",
        f"no function lives longer than {longest:g} s, so nobody comes back to it",
    )
    numbers.whole("client_idle", CLIENT_IDLE_S, "s", "BROKER_IDLE_TIMEOUT_S: the first to leave")
    if flavour is Flavour.PGBOUNCER:
        numbers.whole(
            "idle_transaction_timeout",
            transaction - MARGIN_S,
            "s",
            f"{MARGIN_S} s before the server would end it, so that the client is told",
            "idle_in_transaction_session_timeout",
        )
        numbers.whole(
            "client_idle_timeout",
            POOLER_IDLE_S,
            "s",
            f"after the client's own {CLIENT_IDLE_S} s, before NLB's 350 s",
            "client_idle",
        )
        numbers.whole(
            "server_idle_timeout",
            SERVER_IDLE_S,
            "s",
            f"a pool shrinks after {SERVER_IDLE_S} s without use",
            "client_idle_timeout",
        )
    elif flavour is Flavour.RDS_PROXY:
        numbers.whole(
            "idle_client_timeout",
            POOLER_IDLE_S,
            "s",
            f"after the client's own {CLIENT_IDLE_S} s; 1 min - 8 h",
            "client_idle",
        )
    numbers.whole(
        "idle_session_timeout",
        ROLE_IDLE_S[flavour],
        "s",
        "ends what everybody else has left, also frozen environments; the longest idle limit",
        "client_idle",
    )
    for each in deployment.applications:
        numbers.whole(
            f"statement_timeout.{each.name}",
            min(statement, max(1, math.ceil(each.timeout_s) - MARGIN_S)),
            "s",
            f"below its timeout {each.timeout_s:g} s and the role's {statement} s",
            "statement_timeout",
        )
