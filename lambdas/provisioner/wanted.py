"""The roles and databases that a template asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .properties import Properties
from .refusal import Refused

OF = "Custom::BrokerRoles"
NAME_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL cuts off what is longer
NOT_OURS = re.compile(r"(pg_|rds_)|(rds\w*admin|rdstopmgr|public|none|postgres)$")
NO_DATABASES = frozenset({"template0", "template1", "rdsadmin"})
SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
KEYS = ("name", "kind", "database", "connection_limit", "settings", "secret_arn")


class Kind(Enum):
    """What a role is for."""

    APP = "app"
    MONITOR = "monitor"
    REAPER = "reaper"


@dataclass(frozen=True)
class Role:
    """A role as it should be. Without `secret_arn` it logs in with IAM."""

    name: str
    kind: Kind
    database: str
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)
    secret_arn: str | None = None


@dataclass(frozen=True)
class Wanted:
    """All that one resource asks for."""

    host: str
    port: int
    admin_secret_arn: str
    tls_ca: str
    databases: tuple[str, ...]
    roles: tuple[Role, ...]

    @classmethod
    def read(cls, properties: object) -> Wanted:
        """Return what the properties say; raises Refused, which names what is wrong."""
        given = Properties(properties, OF)
        databases = tuple(_name(name, "Databases", OF) for name in given.texts("Databases"))
        for name in NO_DATABASES.intersection(databases):
            raise Refused(f"{OF}: Databases: {name} is the server's own")
        return cls(
            given.text("Host"),
            given.whole("Port", 1, 65535),
            given.text("AdminSecretArn"),
            given.text("TlsCa"),
            databases,
            _roles(given.text("Roles"), databases),
        )


def roles_of(properties: object) -> tuple[Role, ...]:
    """Return the roles of properties that were good once; none where they were not."""
    try:
        return Wanted.read(properties).roles
    except Refused:
        return ()


def _roles(text: str, databases: tuple[str, ...]) -> tuple[Role, ...]:
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise Refused(f"{OF}: Roles is not JSON: {error}") from None
    if not isinstance(listed, list) or not listed:
        raise Refused(f"{OF}: Roles must be a JSON list of roles")
    roles = tuple(_role(each, f"{OF}: Roles[{n}]", databases) for n, each in enumerate(listed))
    names = [role.name for role in roles]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"{OF}: Roles: {name} is there twice")
    return roles


def _role(listed: object, of: str, databases: tuple[str, ...]) -> Role:
    given = Properties(listed, of)
    given.refuse_others(*KEYS)
    name = _name(given.text("name"), "name", of)
    if NOT_OURS.match(name):
        raise Refused(f"{of}: name={name!r} is the server's or the platform's own: choose another")
    kinds = [kind.value for kind in Kind]
    if given.optional("kind") not in kinds:
        raise Refused(f"{of}: kind={given.optional('kind')!r} is none of {', '.join(kinds)}")
    database = given.text("database")
    if database not in databases:
        raise Refused(f"{of}: database={database!r} is none of Databases: {', '.join(databases)}")
    arn = given.optional("secret_arn")
    if arn is not None and not (isinstance(arn, str) and arn):
        raise Refused(f"{of}: secret_arn={arn!r} must be an ARN, or null for IAM")
    limit = given.whole("connection_limit", -1, 262_143, -1)  # -1: none; MAX_BACKENDS
    settings = _settings(given.optional("settings"), of)
    return Role(name, Kind(given.optional("kind")), database, limit, settings, arn)


def _settings(given: Any, of: str) -> dict[str, str]:
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise Refused(f"{of}: settings={given!r} must be an object of names and values")
    for name, value in given.items():
        if not SETTING.fullmatch(name) or not isinstance(value, (str, int, float)):
            raise Refused(f"{of}: settings: {name}={value!r} is no setting of PostgreSQL's")
    return {name: str(value) for name, value in given.items()}


def _name(name: str, what: str, of: str) -> str:
    if not name.strip() or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise Refused(f"{of}: {what}={name!r} must be 1 to {NAME_BYTES} bytes")
    return name
