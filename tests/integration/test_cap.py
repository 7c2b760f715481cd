"""Leases in a DynamoDB that is served over HTTP, by one process and by many at once."""

from __future__ import annotations

import multiprocessing
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from broker.cap import Cap
from broker.cap.dynamodb import DynamoDb, signed
from broker.cap.lease import Item, Terms
from broker.cap.table import LeaseTable, TableRefused
from broker.deadline import SYSTEM_CLOCK, Deadline
from broker.errors import CapReached, CapUnreachable
from broker.settings import WhenUnreachable
from broker.sigv4 import Keys
from tests.dynamodb import dynamodb
from tests.wait import wait_until

TABLE = "leases"
KEYS = Keys("AKIDEXAMPLE", "secret", "session")
TERMS = Terms("app", 10, 600)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with dynamodb(TABLE) as url:
        yield url


def client(endpoint: str) -> DynamoDb:
    return DynamoDb("eu-west-1", endpoint, lambda: KEYS)


def cap(endpoint: str, terms: Terms = TERMS, counts: Counter[str] | None = None) -> Cap:
    table = LeaseTable(client(endpoint), TABLE, terms)
    counted: Counter[str] = Counter() if counts is None else counts
    return Cap(
        terms,
        WhenUnreachable.CLOSED,
        table,
        lambda what: counted.update((what,)),
        SYSTEM_CLOCK,
        random.Random(),
    )


def test_the_table_keeps_the_rules_of_a_lease(endpoint: str) -> None:
    table = LeaseTable(client(endpoint), TABLE, TERMS._replace(name="rules"))
    now = int(time.time() * 1000)
    mine, longer = Item("a", now + 9_000), Item("a", now + 10_000)
    assert table.take(3, mine, now, 1)
    assert not table.take(3, Item("b", now + 20_000), now, 1), "it is another's"
    assert table.take(3, mine, now, 1), "the same request again"
    assert table.renew(3, longer, 1)
    assert not table.take(3, mine, now, 1), "a late one must not shorten it"
    assert not table.renew(3, mine, 1), "nor a late renewal"
    assert not table.renew(3, Item("b", now + 20_000), 1)
    assert table.items(0, 1) == {3: longer}
    assert not table.give_back(3, "b", 1)
    assert table.take(3, Item("b", now + 20_000), now + 10_001, 1), "it has expired"
    assert not table.renew(3, longer, 1), "it is lost"
    assert table.give_back(3, "b", 1)
    assert table.items(0, 1) == {}


def test_a_row_says_until_when_a_slot_is_taken_and_not_by_whom(endpoint: str) -> None:
    one, other = (cap(endpoint, TERMS._replace(name="rows")) for _ in range(2))
    tokens = {each.take(Deadline.after(10)).token for each in (one, other)}
    scanned = client(endpoint).call("Scan", {"TableName": TABLE}, 5).body["Items"]
    rows = [row for row in scanned if row["shard"]["S"].startswith("rows")]
    assert len(rows) == len(tokens) == 2
    assert {row["lease"]["S"] for row in rows} == tokens
    for row in rows:
        assert set(row) == {"shard", "slot", "lease", "expires_ms", "delete_at"}
        assert re.fullmatch("rows#0", row["shard"]["S"])
        assert re.fullmatch("[0-9a-f]{24}", row["lease"]["S"])


def test_a_table_that_is_not_there_is_refused_at_once_and_by_name(endpoint: str) -> None:
    with pytest.raises(TableRefused, match="ResourceNotFoundException"):
        LeaseTable(client(endpoint), "nowhere", TERMS).items(0, 1)


def test_nobody_listening_is_unreachable_within_the_deadline() -> None:
    with pytest.raises(CapUnreachable):
        cap("http://127.0.0.1:9").take(Deadline.after(0.5))


def test_the_signature_is_the_one_that_botocore_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://dynamodb.eu-west-1.amazonaws.com/"
    now = time.gmtime(1_700_000_000)
    ours = signed("PutItem", b'{"x":1}', url.split("/")[2], "eu-west-1", KEYS, now)
    request = AWSRequest("POST", url, data=b'{"x":1}')
    for name in ("content-type", "x-amz-target"):
        request.headers[name] = ours[name]
    request.context["timestamp"] = ours["x-amz-date"]
    signer = SigV4Auth(Credentials(*KEYS), "dynamodb", "eu-west-1")
    request.headers["x-amz-date"] = ours["x-amz-date"]
    request.headers["x-amz-security-token"] = ours["x-amz-security-token"]
    string = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(signer.signature(string, request))


def test_many_processes_never_hold_more_leases_than_the_cap_nor_one_slot_twice(
    endpoint: str,
) -> None:
    script = Path(__file__).with_name("cap_holders.py")
    ran = subprocess.run(
        [sys.executable, script, endpoint, "many", TABLE, str(TERMS.cap), "30"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    events = sorted((line.split() for line in ran.stdout.splitlines()), key=lambda e: float(e[2]))
    assert len(events) == 2 * 3 * 30
    held: set[str] = set()
    most = 0
    for what, slot, _ in events:
        if what == "took":
            assert slot not in held
            held.add(slot)
        else:
            held.discard(slot)
        most = max(most, len(held))
    assert 1 < most <= TERMS.cap


def test_what_killed_processes_held_is_back_when_their_leases_expire(endpoint: str) -> None:
    context = multiprocessing.get_context("spawn")
    terms = Terms("killed", 2, 10, 0.1, 0.1)
    taken: Any = context.Queue()
    everybody = [
        context.Process(target=take_and_stay, args=(endpoint, terms, taken)) for _ in range(2)
    ]
    for process in everybody:
        process.start()
    for _ in everybody:
        taken.get(timeout=60)
    for process in everybody:
        assert process.pid
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    with pytest.raises(CapReached):
        cap(endpoint, terms).take(Deadline.after(3))
    wait_until(lambda: cap(endpoint, terms).take(Deadline.after(30)), "the capacity to be back")


def take_and_stay(endpoint: str, terms: Terms, taken: Any) -> None:
    cap(endpoint, terms).take(Deadline.after(10))
    taken.put("took")
    time.sleep(60)
