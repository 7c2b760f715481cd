"""The reaper: carries verdicts out, each in one statement that looks once more.

Between that look and the signal the server takes well below a millisecond. A session that wakes
up just then gets 57P01: its transaction, which was not committed, is rolled back, and may be run
again. No statement of PostgreSQL's closes that gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker import Broker, StatementError
from broker.observe.verdict import Policy, Reason, Verdict

DENIED = "42501"

# pg_stat_get_activity(pid) is what pg_stat_activity reads, for one pid: so the look is as fresh as
# can be. Another session with the same pid would not have idled for so long.
END = """
select pg_terminate_backend(a.pid)
from pg_stat_get_activity(:pid) a join pg_roles r on r.oid = a.usesysid
where a.pid <> pg_backend_pid()
  and a.backend_type = 'client backend'
  and a.state in ('idle in transaction', 'idle in transaction (aborted)')
  and a.state_change < clock_timestamp() - make_interval(secs => :idle_s)
  and a.application_name = :application
  and r.rolname = :role
  and not r.rolsuper
"""


def reap(db: Broker, verdicts: Iterable[Verdict], policy: Policy) -> list[Verdict]:
    """End the sessions that are to be ended; return all verdicts, with what became of them."""
    return [
        replace(verdict, reason=_end(db, verdict, policy))
        if verdict.reason is Reason.END
        else verdict
        for verdict in verdicts
    ]


def _end(db: Broker, verdict: Verdict, policy: Policy) -> Reason:
    backend = verdict.backend
    try:
        told = db.run(
            END,
            pid=backend.pid,
            idle_s=policy.idle_s,
            application=backend.application,
            role=backend.user,
        )
    except StatementError as error:
        if error.sqlstate != DENIED:
            raise
        return Reason.NOT_ALLOWED  # no pg_signal_backend
    return Reason.ENDED if told and told[0][0] else Reason.WOKE_UP
