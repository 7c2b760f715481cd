"""Writes the orders of a queue, and gives back what failed."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from broker import Broker

from .batch import Batch

db = Broker.from_env()
logger = Logger(service="orders")

TAKE = """
    with new as (
        insert into queue_messages (id) values (:id) on conflict do nothing returning id
    )
    insert into queue_orders (message_id, sku, quantity) select id, :sku, :quantity from new
"""


@db.handler
def handler(event: dict[str, Any], context: object) -> Any:
    """Return {"batchItemFailures": […]}: the messages that go back to the queue, and no others.

    The event source mapping must have ReportBatchItemFailures among its FunctionResponseTypes.
    """
    batch = Batch(take)
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    answer = process_partial_response(event, batch.offer, processor)
    for error in processor.exceptions:
        logger.warning("back to the queue", error=repr(error[1]))
    if batch.ended_by is not None:
        reason = type(batch.ended_by).__name__
        logger.warning("the batch was ended", reason=reason, not_tried=batch.not_tried)
    return answer


def take(record: SQSRecord) -> None:
    """Write the message's id and its order in one statement, so in one transaction, once.

    A second delivery finds the id there and writes nothing; one that comes meanwhile waits for
    the first one's end.
    """
    order = record.json_body
    db.run(TAKE, id=record.message_id, sku=order["sku"], quantity=order["quantity"])


def setup(event: object, context: object) -> str:
    """Create the tables."""
    db.run(
        "create table if not exists queue_messages"
        " (id text primary key, taken_at timestamptz not null default now())"
    )
    db.run(
        "create table if not exists queue_orders"
        " (message_id text not null references queue_messages,"
        " sku text not null, quantity int not null check (quantity > 0))"
    )
    return "created"


def show(event: object, context: object) -> list[dict[str, Any]]:
    """Return the orders."""
    return db.read("select sku, quantity from queue_orders order by sku, quantity").dicts()
