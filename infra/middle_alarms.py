"""MiddleAlarms: what stands between: PgBouncer and its tasks, or RDS Proxy."""

from __future__ import annotations

from broker.observe.thresholds import Thresholds
from broker.plan import Plan
from broker.plan.sessions import ALARM_SHARE

from .access import Tasks
from .alarm import Alarm, Compare, Level, Missing, tail
from .signals import of_pooler, of_proxy, share_of_proxy

TWO_TASKS = 2  # the number; a plan of one task has one to lose
PINNED_PERCENT = 20  # of the pool: so many sessions serve one client each
DOCTOR = 'broker doctor "$DSN" --pgbouncer "$ADMIN_DSN"'


def pooler_alarms(pooler: str, plan: Plan, tasks: Tasks) -> list[Alarm]:
    """Return the alarms on PgBouncer's tasks, whose exporters name them `pooler`."""
    wait_s = Thresholds().pooler_wait_s
    least = min(TWO_TASKS, plan.deployment.middle.tasks)
    return [
        Alarm(
            "PoolerWait",
            of_pooler(pooler, "MaxWaitMs", "Maximum"),
            1000 * wait_s,
            f"Clients wait for more than {wait_s:g} s for a session of PgBouncer's (it gives up "
            f"after {plan.whole('query_wait_timeout')} s): the pool is smaller than its load, or "
            "its sessions are held.",
            DOCTOR,
            Level.PAGE,
        ),
        Alarm(
            "PoolerTasks",
            tasks.healthy,
            least,
            f"Fewer than {least} of the plan's {plan.deployment.middle.tasks} PgBouncer tasks are "
            "healthy: the rest have the whole load, or nobody connects. The service's events say "
            "why a task ended.",
            f"aws ecs describe-services --cluster {tasks.cluster} --services {tasks.service}",
            Level.NOTICE,
            compare=Compare.LESS_THAN_THRESHOLD,
            # A load balancer without targets, or without traffic, may report nothing at all.
            missing=Missing.IGNORE,
        ),
        Alarm(
            "PoolerLogins",
            of_pooler(pooler, "LoginsFailed", "Sum"),
            0,
            "Logins fail at PgBouncer, or PgBouncer's at the server, for minutes: a secret and a "
            "role do not agree, or the server refuses.",
            DOCTOR,
            Level.NOTICE,
        ),
    ]


def proxy_alarms(proxy: str, plan: Plan) -> list[Alarm]:
    """Return the alarms on RDS Proxy."""
    wait_us = plan.deployment.middle.wait_s * 1e6
    return [
        Alarm(
            "ProxyPool",
            share_of_proxy(proxy, "DatabaseConnections"),
            100 * ALARM_SHARE,
            f"RDS Proxy has opened more than {ALARM_SHARE:.0%} of the sessions that it may "
            f"({plan.whole('proxy_sessions')} in the plan).",
            'broker doctor "$DSN"',
            Level.PAGE,
        ),
        Alarm(
            "ProxyBorrow",
            of_proxy(proxy, "DatabaseConnectionsBorrowLatency", "Average"),
            wait_us,
            f"Clients wait for more than {plan.deployment.middle.wait_s:g} s on average for a "
            f"session of RDS Proxy's (it gives up after "
            f"{plan.whole('connection_borrow_timeout')} s).",
            'broker doctor "$DSN"',
            Level.PAGE,
        ),
        Alarm(
            "ProxyPinned",
            share_of_proxy(proxy, "DatabaseConnectionsCurrentlySessionPinned"),
            PINNED_PERCENT,
            f"More than {PINNED_PERCENT} % of RDS Proxy's sessions are pinned to one client each: "
            "statements leave something behind (docs/reference.md has what pins). The proxy's log "
            "names what pinned.",
            tail(f"/aws/rds/proxy/{proxy}"),
            Level.NOTICE,
        ),
    ]
