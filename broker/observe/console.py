"""PgBouncer's admin console: its SHOW commands, as a Pooler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from broker import Broker, BrokerError
from broker.exclusive import ExclusiveSession
from broker.observe.access import server_fields
from broker.observe.pooler import Pool, Pooler

CONSOLE = "pgbouncer"
"""The console's database, and the user of its own pool."""
UNKNOWN_PARAMETER = "42704"  # PostgreSQL's answer to `show pools`

Row = dict[str, Any]


class NotTheConsole(BrokerError):
    """This is not PgBouncer's admin console. Its database is called pgbouncer, on PgBouncer's
    port, and the user must be one of admin_users or stats_users.
    """


def look(db: Broker) -> Pooler:
    """Return what the console says; raises NotTheConsole for what is none."""
    with db.session() as session:  # the console speaks the simple protocol alone
        pools = _show(session, "pools")
        servers, databases, users = (_show(session, w) for w in ("servers", "databases", "users"))
        config = {str(row["key"]): str(row["value"]) for row in _show(session, "config")}
        version = str(_show(session, "version")[0]["version"])
    tables = Tables(
        {str(row["name"]): row for row in databases},
        {str(row["name"]): row for row in users},
        config,
    )
    theirs = [row for row in pools if row["database"] != CONSOLE]
    return Pooler(
        version=version,
        pools=tuple(tables.pool(row) for row in theirs),
        server_pids=frozenset(int(row["remote_pid"]) for row in servers if row["remote_pid"]),
        max_client_connections=int(config["max_client_conn"]),
        clients=sum(int(row["cl_active"]) + int(row["cl_waiting"]) for row in theirs),
        max_by_database=_limits(tables.databases, "max_connections"),
        max_by_user=_limits(tables.users, "max_user_connections"),
    )


@dataclass(frozen=True, slots=True)
class Tables:
    """SHOW DATABASES and SHOW USERS by name, and SHOW CONFIG."""

    databases: dict[str, Row]
    users: dict[str, Row]
    config: dict[str, str]

    def pool(self, row: Row) -> Pool:
        """Return the pool of a row of SHOW POOLS."""
        database = self.databases.get(str(row["database"]), {})
        user = self.users.get(str(row["user"]), {})
        size = _whole(user.get("pool_size")) or _whole(database.get("pool_size"))
        reserve = database.get("reserve_pool_size", database.get("reserve_pool"))  # before 1.24
        return Pool(
            database=str(row["database"]),
            server_database=str(database.get("database") or row["database"]),
            user=str(row["user"]),
            size=size or int(self.config["default_pool_size"]),
            reserve=_whole(user.get("reserve_pool_size")) or _whole(reserve),
            clients_active=int(row["cl_active"]),
            clients_waiting=int(row["cl_waiting"]),
            servers_active=int(row["sv_active"]),
            servers_idle=int(row["sv_idle"]),
            servers_used=int(row["sv_used"]),
            servers_tested=int(row["sv_tested"]),
            servers_logging_in=int(row["sv_login"]),
            longest_wait_s=int(row["maxwait"]) + int(row["maxwait_us"]) / 1e6,
        )


def _show(session: ExclusiveSession, what: str) -> list[Row]:
    try:
        rows = session.run(f"show {what}") or []
    except BrokerError:
        raise
    except Exception as error:  # the server's own, raised as pg8000's DatabaseError
        fields = server_fields(error)
        if fields.get("C") == UNKNOWN_PARAMETER:
            raise NotTheConsole(f"PostgreSQL itself answered. {NotTheConsole().args[0]}") from error
        raise NotTheConsole(f"{fields.get('M', error)}. {NotTheConsole().args[0]}") from error
    names = [column["name"] for column in session.columns or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _limits(rows: dict[str, Row], column: str) -> dict[str, int]:
    return {name: _whole(row[column]) for name, row in rows.items()}


def _whole(value: object) -> int:
    """Return a number that an old version leaves empty where there is none."""
    return int(str(value)) if value not in (None, "") else 0
