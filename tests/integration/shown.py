# ruff: noqa: T201  to show is what it is for
"""A function that shows all that can be shown of itself: what no secret may be in."""

from __future__ import annotations

import gc
import logging
import traceback
from pathlib import Path
from typing import Any

logging.basicConfig(level=logging.DEBUG)

from broker import Broker, BrokerError  # noqa: E402

db = Broker.from_env()
kept: list[Any] = []
errors: list[BaseException] = []


class Context:
    """What Lambda hands a handler."""

    aws_request_id = "r-1"

    def get_remaining_time_in_millis(self) -> int:
        """Return a few seconds."""
        return 8_000


@db.handler
def handler(event: object, context: object) -> None:
    """Do what succeeds, what fails, and what is left open."""
    for sql in (
        "create table if not exists t (id int primary key)",
        "insert into t values (1) on conflict do nothing",
        "insert into t values (1)",
        "select",
        "selec",
    ):
        try:
            kept.append(db.run(sql))
        except BrokerError as error:
            errors.append(error)
    block = db.transaction()
    kept.append(block)
    block.__enter__().run("select 1")


def of_ours(root: object) -> list[object]:
    """Return all objects of the library's own types that can be reached from this one."""
    seen: dict[int, object] = {}
    left = [root]
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type) or type(each).__name__ == "module":
            continue
        seen[id(each)] = each
        left += gc.get_referents(each)
    return [each for each in seen.values() if type(each).__module__.startswith("broker")]


for _ in range(2):
    try:
        handler({}, Context())
    except BrokerError as error:
        errors.append(error)
print(db, repr(db), repr(db.settings), db.stats(), kept)
for found in of_ours(db):
    print(type(found).__name__, repr(found), str(found))
for raised in errors:
    each: BaseException | None = raised
    while each is not None:
        print(repr(each), each, each.args, vars(each))
        print("".join(traceback.format_exception(each)))
        each = each.__cause__ or each.__context__
print("arguments:", Path("/proc/self/cmdline").read_bytes())
