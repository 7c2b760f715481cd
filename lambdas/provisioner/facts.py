"""What the server has now, as far as an administrator who is no superuser can see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker import Result

SERVER_SQL = """select current_user::text, current_setting('server_version_num')::int,
    exists (select from pg_roles where rolname = 'rds_iam'),
    array(select datname::text from pg_database)"""
# setconfig and shobj_description: pg_roles and these are readable where pg_authid is not (RDS).
ROLES_SQL = """select r.rolname::text, r.rolsuper, r.rolcanlogin, r.rolconnlimit,
        coalesce(shobj_description(r.oid, 'pg_authid'), ''),
        array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
              where m.member = r.oid),
        coalesce((select s.setconfig from pg_db_role_setting s
                  where s.setrole = r.oid and s.setdatabase = 0), '{}')
    from pg_roles r where r.rolname = any(:names)"""
PRIVILEGES_SQL = """select r.rolname::text,
        has_database_privilege(r.oid, current_database(), 'CONNECT'),
        n.oid is null or has_schema_privilege(r.oid, n.oid, 'USAGE'),
        n.oid is null or has_schema_privilege(r.oid, n.oid, 'CREATE')
    from pg_roles r left join pg_namespace n on n.nspname = 'public'
    where r.rolname = any(:names)"""


@dataclass(frozen=True)
class Found:
    """A role that is there."""

    is_superuser: bool = False
    logs_in: bool = True
    connection_limit: int = -1
    comment: str = ""
    groups: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """A server, and those of the roles in question that it has."""

    admin: str
    version: int
    """server_version_num: 160004 is 16.4."""
    has_rds_iam: bool
    databases: frozenset[str]
    roles: Mapping[str, Found]

    @classmethod
    def read(cls, server: Result, roles: Result) -> Facts:
        """Return what SERVER_SQL and ROLES_SQL answered."""
        admin, version, has_rds_iam, databases = server[0]
        found = {
            name: Found(is_super, logs_in, limit, comment, frozenset(groups), _settings(settings))
            for name, is_super, logs_in, limit, comment, groups, settings in roles
        }
        return cls(admin, version, has_rds_iam, frozenset(databases), found)


@dataclass(frozen=True)
class Privileges:
    """What a role may do in its database."""

    connect: bool
    usage: bool
    create: bool


def _settings(config: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in config)
    return {name: value for name, _, value in pairs}
