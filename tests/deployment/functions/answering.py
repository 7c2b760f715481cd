"""A handler as a user writes it: it says which session answered it, and keeps what it is sent."""

from __future__ import annotations

from typing import Any

from broker import Broker

db = Broker.from_env()


@db.handler
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return who the server says that we are; with {"keep": text}, keep that first."""
    if "keep" in event:
        with db.transaction() as tx:
            tx.run("create table if not exists kept (what text)")
            tx.run("insert into kept values (:what)", what=event["keep"])
    row = db.run(
        """select current_user::text as role, current_database()::text as database,
                  current_setting('statement_timeout') as statement_timeout,
                  (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as encrypted"""
    )
    return dict(row.dicts()[0])
