"""Which statements make the roles so. Decides; sends nothing.

An administrator on RDS is no superuser: nothing here names SUPERUSER, REPLICATION or BYPASSRLS,
which others may not even repeat, and nothing drops or changes data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .facts import Facts, Found, Privileges
from .refusal import Refused
from .wanted import Kind, Role

MARK = "made by lambda-pg-broker"  # only a role with this comment is ever taken away
RESERVED_SINCE = 160_000  # PostgreSQL 16: pg_use_reserved_connections
IAM = "rds_iam"
RESERVED = "pg_use_reserved_connections"
GROUPS: Mapping[Kind, tuple[str, ...]] = {
    Kind.APP: (),
    Kind.MONITOR: ("pg_monitor", RESERVED),
    # To see whom it ends, to end them, and to get in when they have taken every place.
    Kind.REAPER: ("pg_monitor", "pg_signal_backend", RESERVED),
}


@dataclass(frozen=True)
class Statement:
    """One statement, and the words for it; its text may hold a verifier."""

    what: str
    sql: str = field(repr=False)
    optional: bool = False
    """Whether a server that refuses it is only told of in the log."""


def identifier(name: str) -> str:
    """Return the name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as SQL quotes it, whatever standard_conforming_strings says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def databases_to_create(wanted: tuple[str, ...], facts: Facts) -> list[Statement]:
    """Return what creates the databases that are missing."""
    return [
        Statement(f"create database {name}", f"create database {identifier(name)}")
        for name in wanted
        if name not in facts.databases
    ]


def roles_to_make(
    roles: tuple[Role, ...],
    before: tuple[Role, ...],
    verifiers: Mapping[str, str],
    facts: Facts,
) -> list[Statement]:
    """Return what creates the roles, or makes those that are there as they should be.

    `before` are the roles as this resource made them last: what they no longer want is taken
    back, and what others set beside it stays. Raises Refused for a role that is not to be
    touched.
    """
    earlier = {role.name: role for role in before}
    statements: list[Statement] = []
    for role in roles:
        _refuse_untouchable(role, facts)
        found = facts.roles.get(role.name)
        statements += _login(role, found, verifiers.get(role.name))
        statements += _settings(role, found, earlier.get(role.name))
        statements += _groups(role, found, earlier.get(role.name), facts)
    return statements


def _refuse_untouchable(role: Role, facts: Facts) -> None:
    found = facts.roles.get(role.name)
    if role.name == facts.admin:
        raise Refused(f"role {role.name} is the administrator itself: choose another name")
    if found is not None and found.is_superuser:
        raise Refused(f"role {role.name} is a superuser, which a pool must not be: choose another")


def _login(role: Role, found: Found | None, verifier: str | None) -> list[Statement]:
    """Return the statements for the role itself, its limit and its password."""
    name = identifier(role.name)
    options = f"login connection limit {role.connection_limit}"
    if verifier is not None:
        options += f" password {literal(verifier)}"
    if found is None:
        return [
            Statement(f"create role {role.name}", f"create role {name} {options}"),
            Statement(f"mark role {role.name}", f"comment on role {name} is {literal(MARK)}"),
        ]
    as_wanted = found.logs_in and found.connection_limit == role.connection_limit
    if as_wanted and verifier is None:
        return []
    return [Statement(f"alter role {role.name}", f"alter role {name} {options}")]


def _settings(role: Role, found: Found | None, earlier: Role | None) -> list[Statement]:
    """Return the statements for the role's defaults."""
    name, now = identifier(role.name), found.settings if found else {}
    dropped = set(earlier.settings if earlier else ()) - set(role.settings)
    return [
        Statement(
            f"set {key} of role {role.name}",
            f"alter role {name} set {identifier(key)} to {literal(value)}",
        )
        for key, value in role.settings.items()
        if now.get(key) != value
    ] + [
        Statement(f"reset {key} of role {role.name}", f"alter role {name} reset {identifier(key)}")
        for key in sorted(dropped & set(now))
    ]


def groups_of(role: Role, facts: Facts) -> tuple[str, ...]:
    """Return the groups that a role should be in, of those that this server has."""
    kinds = tuple(g for g in GROUPS[role.kind] if g != RESERVED or facts.version >= RESERVED_SINCE)
    return (*kinds, IAM) if role.secret_arn is None and facts.has_rds_iam else kinds


def _groups(role: Role, found: Found | None, earlier: Role | None, facts: Facts) -> list[Statement]:
    """Return the grants of groups, and what takes back those of an earlier kind or way in."""
    wanted, now = groups_of(role, facts), found.groups if found else frozenset()
    no_more = set(groups_of(earlier, facts) if earlier else ()) - set(wanted)
    if role.secret_arn is not None:
        no_more.add(IAM)  # its members log in with no password
    name = identifier(role.name)
    return [
        Statement(f"grant {g} to {role.name}", f"grant {g} to {name}", optional=g == RESERVED)
        for g in wanted
        if g not in now
    ] + [
        Statement(f"revoke {g} from {role.name}", f"revoke {g} from {name}")
        for g in sorted(no_more & now)
    ]


def grants_in(database: str, role: Role, may: Privileges) -> list[Statement]:
    """Return what the role needs in its database and does not have, by PUBLIC or otherwise.

    From PostgreSQL 15 on nobody but the owner may create in the schema public. An owner who does
    not want the app to is free to refuse it: that is optional.
    """
    name = identifier(role.name)
    grants = []
    if not may.connect:
        sql = f"grant connect on database {identifier(database)} to {name}"
        grants.append(Statement(f"grant connect on {database} to {role.name}", sql))
    if role.kind is not Kind.APP:
        return grants
    for privilege, has in (("usage", may.usage), ("create", may.create)):
        if not has:
            what = f"grant {privilege} on schema public of {database} to {role.name}"
            sql = f"grant {privilege} on schema public to {name}"
            grants.append(Statement(what, sql, optional=privilege == "create"))
    return grants


def lock(name: str) -> Statement:
    """Return what lets the role log in no more."""
    return Statement(f"alter role {name} nologin", f"alter role {identifier(name)} nologin")


def drop(name: str) -> Statement:
    """Return what drops the role. The server refuses it for one that owns anything."""
    return Statement(f"drop role {name}", f"drop role {identifier(name)}")


def grants_back(database: str, name: str) -> list[Statement]:
    """Return what takes the role's own grants in its database back, lest they keep it."""
    role = identifier(name)
    return [
        Statement(
            f"revoke grants on {database} from {name}",
            f"revoke all on database {identifier(database)} from {role}",
        ),
        Statement(
            f"revoke grants on schema public of {database} from {name}",
            f"revoke all on schema public from {role}",
            optional=True,  # there may be none
        ),
    ]
