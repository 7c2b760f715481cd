"""Given: what the task's environment says, checked. No error repeats a value: some are secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .directory import TaskError

INI = "PGBOUNCER_INI"
SERVER = "PGBOUNCER_SERVER_SECRET"
CLIENT = "PGBOUNCER_CLIENT_SECRET"
CERTIFICATE = "PGBOUNCER_CERTIFICATE"
SECTION = "[pgbouncer]"


@dataclass(frozen=True)
class Login:
    """A name and its password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Given:
    """One pgbouncer.ini for each process, who logs in on which hop, and what clients verify."""

    inis: tuple[str, ...]
    servers: tuple[Login, ...]
    clients: tuple[Login, ...]
    certificate: str
    key: str = field(repr=False)


def read(environ: Mapping[str, str]) -> Given:
    """Return what the variables give; TaskError names the one that is missing or wrong."""
    inis = numbered(environ, INI)
    if not inis:
        raise TaskError(f"{INI}_1 is missing: give the plan's pgbouncer.ini of each process")
    for name, text in inis.items():
        if SECTION not in text.splitlines():
            raise TaskError(f"{name} has no {SECTION}: give what `broker render` prints")
    servers = numbered(environ, SERVER)
    if not servers:
        raise TaskError(f"{SERVER}_1 is missing: give the secret of the database's role")
    pair = secret(CERTIFICATE, environ.get(CERTIFICATE, ""), ("certificate", "key"))
    for key in ("certificate", "key"):
        if "-----BEGIN " not in pair[key]:
            raise TaskError(f"{CERTIFICATE}: {key} is no PEM: it starts with -----BEGIN")
    return Given(
        inis=tuple(inis.values()),
        servers=tuple(login(name, text) for name, text in servers.items()),
        clients=tuple(login(name, text) for name, text in numbered(environ, CLIENT).items()),
        certificate=pair["certificate"],
        key=pair["key"],
    )


def numbered(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the variables PREFIX_1, PREFIX_2, …; TaskError if one is left out in between."""
    there = {name for name in environ if name.startswith(f"{prefix}_")}
    names = [f"{prefix}_{n}" for n in range(1, len(there) + 1)]
    missing = [name for name in names if name not in there]
    if missing:
        odd = sorted(there - set(names))
        raise TaskError(f"{missing[0]} is missing, though there is {odd[0]}: count from 1")
    return {name: environ[name] for name in names}


def login(name: str, text: str) -> Login:
    """Return the name and the password that a secret holds."""
    found = secret(name, text, ("username", "password"))
    for key, value in found.items():
        if any(c in value for c in "\n\r\0"):
            raise TaskError(f"{name}: {key} has a line break or a NUL, which no userlist can hold")
    return Login(found["username"], found["password"])


def secret(name: str, text: str, keys: tuple[str, ...]) -> dict[str, str]:
    """Return these keys of a secret's JSON; TaskError says which is not there."""
    example = ", ".join(f'"{key}": …' for key in keys)
    if not text.strip():
        raise TaskError(f"{name} is missing: give the secret, as JSON {{{example}}}")
    try:
        values = json.loads(text)
    except ValueError:  # its message and its traceback would hold the text
        raise TaskError(f"{name} is not JSON: give {{{example}}}") from None
    for key in keys:
        value = values.get(key) if isinstance(values, dict) else None
        if not isinstance(value, str) or not value:
            raise TaskError(f'{name} has no text "{key}": give {{{example}}}')
    return {key: values[key] for key in keys}
