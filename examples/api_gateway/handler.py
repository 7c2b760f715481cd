"""Takes orders over HTTP, and shows them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, NotFoundError

from broker import Broker, BrokerError

from .answers import answer_to

db = Broker.from_env()
app = APIGatewayHttpResolver()
logger = Logger(service="orders")


@app.post("/orders")
def take() -> Response[str]:
    """Write the order, whose id its client has drawn.

    A transaction for one statement, since a COMMIT whose answer is lost is looked up on the
    server, and what cannot be told has an id. A lone statement's answer is lost for good.
    """
    order = _order(app.current_event.body)
    with db.transaction() as tx:
        tx.run("insert into api_orders (id, sku) values (:id, :sku)", **order)
    return _json(HTTPStatus.CREATED, order)


@app.get("/orders/<id>")
def show(id: str) -> dict[str, str]:
    """Return the order; after an unknown outcome this is where to look."""
    for order in db.read("select id, sku from api_orders where id = :id", id=id).dicts():
        return order
    raise NotFoundError(f"no order {id}")


@app.exception_handler(BrokerError)  # type: ignore[untyped-decorator]
def tell(error: BrokerError) -> Response[str]:
    """Answer as answers.py says; what is our own fault fails the invocation, and rings."""
    answer = answer_to(error)
    if answer is None:
        raise error
    logger.warning(str(error), error=type(error).__name__, status=answer.status)
    return _json(answer.status, answer.body, answer.headers)


@db.handler
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of an HTTP API (payload format 2.0)."""
    return app.resolve(event, context)


def setup(event: object, context: object) -> str:
    """Create the table."""
    db.run(
        "create table if not exists api_orders"
        " (id text primary key, sku text not null check (sku <> ''))"
    )
    return "created"


def _order(body: str | None) -> dict[str, str]:
    try:
        read = json.loads(body or "")
        return {"id": str(read["id"]), "sku": str(read["sku"])}
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError("an order is {id, sku}") from error


def _json(
    status: HTTPStatus, body: object, headers: dict[str, str | list[str]] | None = None
) -> Response[str]:
    return Response(status, content_types.APPLICATION_JSON, json.dumps(body), headers)
