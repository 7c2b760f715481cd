"""Application: which sessions belong together, and which generation of it they are."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from broker.observe.backend import NO_NAME, Backend

K = TypeVar("K")

# orders:7, orders:$LATEST, api@3f9c2d1, web/1.4.2, web-v12; but not web-1 or app@10.0.0.7: those
# are instances. A commit's hash has a digit and a letter.
_HASH = r"(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{7,40}"
_GENERATION = re.compile(
    r"(?P<base>.+?)"
    rf"(?:[:@](?!\d+(?:\.\d+){{3}})(?P<marked>\$LATEST|v?\d[\w.+-]*|{_HASH})"
    rf"|[-_/# ](?P<dashed>v\d[\w.]*|\d+\.\d[\w.]*|{_HASH}))"
)


class Name(NamedTuple):
    """An application's name without its generation, and the generation, if it tells one."""

    base: str
    generation: str | None


@functools.lru_cache(maxsize=4096)  # the same names come again and again, 5,000 in a look
def read_name(application: str) -> Name:
    """Return the name's parts."""
    match = _GENERATION.fullmatch(application)
    if match is None:
        return Name(application or NO_NAME, None)
    return Name(match["base"], match["marked"] or match["dashed"])


class Owner(NamedTuple):
    """Who has sessions: one application, as one role on one database."""

    application: str
    user: str
    database: str

    def __str__(self) -> str:
        return f"{self.application} as {self.user} on {self.database}"


class Instance(NamedTuple):
    """One address of an owner's: a process, a pod or a task, unless several share a gateway."""

    owner: Owner
    address: str

    def __str__(self) -> str:
        return f"{self.owner} from {self.address or 'a Unix socket'}"


def owner(backend: Backend) -> Owner:
    """Return whose session it is, all generations alike."""
    return _owner(backend.application, backend.user, backend.database)


def instance(backend: Backend) -> Instance:
    """Return which of the owner's instances has it."""
    return _instance(backend.application, backend.user, backend.database, backend.address)


@functools.lru_cache(maxsize=4096)
def _owner(application: str, user: str | None, database: str | None) -> Owner:
    return Owner(read_name(application).base, user or "?", database or "?")


@functools.lru_cache(maxsize=4096)
def _instance(application: str, user: str | None, database: str | None, address: str) -> Instance:
    return Instance(_owner(application, user, database), address)


def grouped(backends: Iterable[Backend], key: Callable[[Backend], K]) -> dict[K, list[Backend]]:
    """Return the sessions by key, the largest group first."""
    groups: dict[K, list[Backend]] = defaultdict(list)
    for backend in backends:
        groups[key(backend)].append(backend)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
