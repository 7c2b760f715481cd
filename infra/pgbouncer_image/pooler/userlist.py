"""userlist.txt: clients with the verifiers of their passwords, the server's roles with theirs."""

from __future__ import annotations

from collections.abc import Iterable

from .directory import TaskError
from .given import Login
from .scram import verifier


def render(clients: Iterable[Login], servers: Iterable[Login]) -> str:
    """Return userlist.txt. PgBouncer logs in at the server, so it needs that password itself.

    A name on both hops has one line, with the password; two passwords for a name are a TaskError.
    """
    roles = passwords(servers)
    users = {name: verifier(password) for name, password in passwords(clients).items()}
    for client in clients:
        if roles.get(client.username, client.password) != client.password:
            raise _two_passwords(client.username)
    return "".join(f"{quoted(name)} {quoted(text)}\n" for name, text in {**users, **roles}.items())


def passwords(logins: Iterable[Login]) -> dict[str, str]:
    """Return the password of each name."""
    found: dict[str, str] = {}
    for each in logins:
        if found.setdefault(each.username, each.password) != each.password:
            raise _two_passwords(each.username)
    return found


def quoted(text: str) -> str:
    """Return the text in quotes, a quote inside doubled."""
    return '"' + text.replace('"', '""') + '"'


def _two_passwords(name: str) -> TaskError:
    return TaskError(f"two secrets give {name} different passwords: give each name one")
