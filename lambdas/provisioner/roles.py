"""Custom::BrokerRoles: the roles and databases made so, and taken away without any data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable

from broker import AuthenticationFailed, StatementError

from . import statements
from .facts import Facts
from .refusal import NotGranted, Refused
from .scram import verifier
from .server import Server
from .statements import IAM, MARK, Statement
from .wanted import Role, Wanted

log = logging.getLogger("provisioner")

STILL_NEEDED = "2BP01"  # dependent_objects_still_exist


def make_so(
    wanted: Wanted,
    before: tuple[Role, ...],
    server: Server,
    read_secret: Callable[[str], str],
) -> None:
    """Create what is missing and correct what differs; the second time changes nothing.

    Roles that are no longer wanted are taken away. Raises Refused; NotGranted once the roles are
    there and have their passwords.
    """
    names = [role.name for role in (*wanted.roles, *before)]
    verifiers = {
        role.name: verifier(_password(role, role.secret_arn, read_secret))
        for role in wanted.roles
        if role.secret_arn
    }
    facts = server.facts(names)
    steps = statements.roles_to_make(wanted.roles, before, verifiers, facts)
    for statement in statements.databases_to_create(wanted.databases, facts):
        server.run(statement)
    server.run_together([step for step in steps if not step.optional])
    for statement in steps:
        if statement.optional:
            server.run(statement)
    _keep_the_administrator(wanted.roles, facts, server)
    for role in wanted.roles:
        try:
            _grant(role, server)
        except Refused as refusal:
            raise NotGranted(str(refusal)) from refusal
    kept = {role.name for role in wanted.roles}
    take_away((role for role in before if role.name not in kept), server, facts)


def _grant(role: Role, server: Server) -> None:
    """Grant what the role needs in its database, and see that it has it."""
    for needed in (True, False):
        may = server.privileges(role.database, [role.name])[role.name]
        grants = statements.grants_in(role.database, role, may)
        for grant in grants:
            if needed:
                server.run(grant, role.database)
            elif grant.optional:  # a GRANT without the right to is only a warning of the server's
                log.warning("not done: %s: its owner has to", grant.what)
            else:
                raise Refused(f"{grant.what}: it had no effect; its owner has to do it")


def _keep_the_administrator(roles: Iterable[Role], facts: Facts, server: Server) -> None:
    """Take rds_iam back where it locks the administrator out.

    From PostgreSQL 16 on who creates a role is a member of it, and a member of a member of
    rds_iam may be asked for a token in place of its password.
    """
    granted = [
        role.name
        for role in roles
        if IAM in statements.groups_of(role, facts)
        and (role.name not in facts.roles or IAM not in facts.roles[role.name].groups)
    ]
    if not granted:
        return
    try:
        server.log_in_again()
    except AuthenticationFailed as error:
        for name in granted:
            sql = f"revoke {IAM} from {statements.identifier(name)}"
            server.run(Statement(f"revoke {IAM} from {name}", sql))
        raise Refused(
            f"grant {IAM} to {', '.join(granted)}: it made {facts.admin} a member of {IAM} as "
            "well, so its password logged in no more; it was taken back. Have another "
            'administrator create these roles, or use auth = "secret"'
        ) from error


def take_away(roles: Iterable[Role], server: Server, facts: Facts | None = None) -> None:
    """Drop the roles that were made here and own nothing; let those that do log in no more.

    A role that was there before is left as it is. Nothing that a role owns is ever dropped.
    """
    gone = tuple(roles)
    facts = facts or server.facts([role.name for role in gone])
    for role in gone:
        found = facts.roles.get(role.name)
        if found is None:
            continue
        if found.comment != MARK:
            log.warning("role %s was there before: it is left as it is", role.name)
            continue
        server.run(statements.lock(role.name))
        if role.database in facts.databases:
            for statement in statements.grants_back(role.database, role.name):
                server.run(statement, role.database)
        try:
            server.run(statements.drop(role.name))
        except Refused as refusal:
            cause = refusal.__cause__
            if not isinstance(cause, StatementError) or cause.sqlstate != STILL_NEEDED:
                raise
            log.warning("role %s owns something: it stays, and logs in no more", role.name)


def _password(role: Role, arn: str, read_secret: Callable[[str], str]) -> str:
    """Return the role's password; no refusal says anything of what the secret holds."""
    try:
        value = json.loads(read_secret(arn))
        user, password = value.get("username", role.name), value["password"]
    except (ValueError, TypeError, AttributeError, KeyError):
        raise Refused(f"{arn}: the secret is not JSON with username and password") from None
    if not isinstance(password, str) or not password:
        raise Refused(f"{arn}: the secret's password is empty")
    if user != role.name:
        raise Refused(f"{arn}: the secret is another user's than {role.name}")
    return password
