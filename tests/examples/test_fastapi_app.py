"""examples/fastapi_app: FastAPI in the real runtime, and what the broker's errors are in HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker import Broker

EXAMPLES = Path(__file__).parents[2] / "examples"
PEN = {"sku": "pen", "price": 3}
TIMEOUT_S = 12.0
SOON = {"BROKER_MARGIN_S": "9"}  # 3 s for the database, and 9 for the answer on a busy machine


def request(method: str, path: str, body: object = None, query: str = "") -> dict[str, Any]:
    """Return what a function URL, or API Gateway's HTTP API, sends (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"content-type": "application/json", "host": "example.com"},
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "127.0.0.1"}},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


@pytest.fixture
def deploy(broker_function):
    broker_function("fastapi_app.handler.setup", code=EXAMPLES)()

    def deploy(**environment: str):
        return broker_function(
            "fastapi_app.handler.handler",
            code=EXAMPLES,
            timeout_s=TIMEOUT_S,
            environment=environment,
        )

    return deploy


def told(answer: dict[str, Any]) -> tuple[int, Any]:
    return answer["statusCode"], json.loads(answer["body"])


def test_an_item_is_added_and_found(deploy) -> None:
    app = deploy()
    assert told(app(request("POST", "/items", PEN))) == (201, PEN)
    assert told(app(request("GET", "/items/pen"))) == (200, PEN)
    assert told(app(request("GET", "/total"))) == (200, {"total": 3})
    assert told(app(request("GET", "/items/ink")))[0] == 404
    assert told(app(request("POST", "/items", {"sku": "pen", "price": 0})))[0] == 422
    assert not [line for line in app.logs() if "blocks the event loop" in line]


def test_both_kinds_of_endpoint_share_the_environments_one_session(deploy, broker_database) -> None:
    app = deploy()
    for _ in range(5):
        app(request("GET", "/items/pen"))
        app(request("GET", "/total"))
    sql = "select count(*) from pg_stat_activity where application_name = :name"
    assert broker_database.admin(sql, name=f"{app.name}:1")[0][0] <= 1
    opened = [line for line in app.logs() if '"SessionsOpened": [1.0]' in line]
    assert len(opened) == 1


def test_what_is_there_already_is_409(deploy, broker_db: Broker) -> None:
    app = deploy()
    app(request("POST", "/items", PEN))
    again = app(request("POST", "/items", {**PEN, "price": 4}))
    assert told(again) == (409, {"error": "IntegrityError", "happened": "nothing"})
    assert broker_db.run("select price from shop_items").scalar() == 3


def test_what_takes_too_long_is_504_and_the_environment_goes_on(deploy) -> None:
    app = deploy(**SOON)
    app(request("POST", "/items", PEN))
    late = app.invoke(request("GET", "/total", query="delay_s=60"))
    assert told(late.result()) == (504, {"error": "DeadlineExceeded", "happened": "nothing"})
    after = app.invoke(request("GET", "/total"))
    assert told(after.result()) == (200, {"total": 3})
    assert after.environment == late.environment


@pytest.mark.parametrize("broker_flavour", ["direct"])
def test_no_free_session_is_429_with_when_to_come_back(deploy, broker_database) -> None:
    app = deploy(**SOON)
    broker_database.admin("alter role app connection limit 0")
    try:
        full = app(request("GET", "/items/pen"))
    finally:
        broker_database.admin("alter role app connection limit -1")
    assert told(full) == (429, {"error": "TooManyConnections", "happened": "nothing"})
    assert full["headers"]["retry-after"] == "2"
    assert told(app(request("GET", "/items/pen")))[0] == 404


def test_a_server_that_is_not_there_is_503(deploy, broker_server) -> None:
    app = deploy(**SOON)
    broker_server.pgbouncer.stop()
    try:
        gone = app(request("GET", "/items/pen"))
    finally:
        broker_server.pgbouncer.start()
    assert told(gone) == (503, {"error": "ServerUnavailable", "happened": "nothing"})
    assert told(app(request("GET", "/items/pen")))[0] == 404
