"""examples/streaming: every row arrives once, in the memory of a page and a part."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.streaming.parts import parts
from tests.examples.conftest import EXAMPLES, REGION
from tests.wait import wait_until

SMALL, LARGE = 14_000, 42_000  # rows of 1,000 bytes: 3 parts, and 7


@given(st.lists(st.binary(max_size=9)), st.integers(1, 20))
def test_parts_are_the_pieces_in_order_and_only_the_last_is_small(
    pieces: list[bytes], least: int
) -> None:
    made = list(parts(pieces, least))
    assert b"".join(made) == b"".join(pieces)
    assert made
    assert all(least <= len(part) < least + 9 for part in made[:-1])


@pytest.fixture
def s3(aws: Mapping[str, str], broker_database) -> Any:
    client = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    client.create_bucket(Bucket=bucket(broker_database))
    yield client
    client.close()


def bucket(broker_database) -> str:
    return str(broker_database.name).replace("_", "-")


@pytest.fixture
def fill(broker_function):
    return broker_function("streaming.handler.setup", code=EXAMPLES)


def rows_of(s3, broker_database, key: str = "items.csv") -> list[list[str]]:
    body = s3.get_object(Bucket=bucket(broker_database), Key=key)["Body"].read()
    return list(csv.reader(io.StringIO(body.decode())))


def test_every_row_arrives_once_as_it_was(
    fill, broker_function, broker_db, broker_database, s3, aws
) -> None:
    fill({"items": SMALL})
    broker_db.run("delete from items where id % 7 = 0")
    broker_db.run("update items set name = 'a \"quoted\", ünlike\nname' where id = 1")
    export = broker_function("streaming.handler.to_s3", code=EXAMPLES, environment=aws)
    told = export({"bucket": bucket(broker_database), "key": "items.csv"})
    wanted = [
        list(map(str, row)) for row in broker_db.run("select id, name, note from items order by id")
    ]
    assert rows_of(s3, broker_database) == wanted
    assert (told["rows"], told["parts"]) == (len(wanted), 2)


def test_of_an_empty_table_comes_an_empty_object(
    fill, broker_function, broker_database, s3, aws
) -> None:
    fill({"items": 0})
    export = broker_function("streaming.handler.to_s3", code=EXAMPLES, environment=aws)
    told = export({"bucket": bucket(broker_database), "key": "items.csv"})
    assert told == {"rows": 0, "parts": 1, "bytes": 0}
    assert rows_of(s3, broker_database) == []


def test_rows_that_move_meanwhile_are_neither_lost_nor_doubled(
    fill, broker_function, broker_db, broker_database, s3, aws
) -> None:
    """The first row becomes the last, again and again: pages of several snapshots would have it
    at both places.
    """
    fill({"items": SMALL})
    export = broker_function("streaming.handler.to_s3", code=EXAMPLES, environment=aws)
    over = threading.Event()
    moved = 0

    def move() -> None:
        nonlocal moved
        while not over.is_set():
            broker_db.run(
                "update items set id = (select max(id) + 1 from items)"
                " where id = (select min(id) from items)"
            )
            moved += 1

    mover = threading.Thread(target=move)
    mover.start()
    try:
        wait_until(lambda: moved > 10, "the rows to move")
        before = moved
        told = export({"bucket": bucket(broker_database), "key": "items.csv"})
        during = moved - before
    finally:
        over.set()
        mover.join()
    assert during > 10
    assert told["rows"] == SMALL
    names = sorted(row[1] for row in rows_of(s3, broker_database))
    assert names == sorted(f"item {n}" for n in range(1, SMALL + 1))


def test_memory_is_bounded_by_a_page_and_a_part(
    fill, broker_function, broker_database, s3, aws
) -> None:
    export = broker_function(
        "measured.handler",
        code=Path(__file__).with_name("functions"),
        environment={**aws, "EXAMPLES": str(EXAMPLES)},
        timeout_s=240,
    )
    event = {"bucket": bucket(broker_database), "key": "items.csv"}
    fill({"items": SMALL})
    export(event)  # which loads the SDK
    small = export(event)
    fill({"items": LARGE - SMALL})
    large = export(event)
    assert (small["rows"], large["rows"]) == (SMALL, LARGE)
    assert (small["parts"], large["parts"]) == (3, 7)
    assert large["peak"] < 1.2 * small["peak"]
    assert large["peak"] < large["bytes"] / 2
    assert len(export.fleet.environments(export.name)) == 1  # all in the same one


def test_where_the_session_is_lost_there_is_no_object_and_no_part(
    fill, broker_function, broker_db, broker_database, s3, aws
) -> None:
    """A lock holds the first page until its session is killed."""
    fill({"items": 10})
    export = broker_function("streaming.handler.to_s3", code=EXAMPLES, environment=aws)
    event = {"bucket": bucket(broker_database), "key": "items.csv"}
    victim = """select pid from pg_stat_activity where datname = :name
                and wait_event_type = 'Lock' and query like 'select id, name, note%'"""
    with broker_db.transaction() as tx:
        tx.run("lock table items in access exclusive mode")
        running = export.submit(event)
        [[pid]] = wait_until(
            lambda: broker_database.admin(victim, name=broker_database.name),
            "the first page to wait for the lock",
        )
        broker_database.admin("select pg_terminate_backend(:pid, 5000)", pid=pid)
        failed = running.result()
    assert failed.error is not None
    assert failed.error.error_type == "ConnectionLost"
    assert "Contents" not in s3.list_objects_v2(Bucket=event["bucket"])
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=event["bucket"])
