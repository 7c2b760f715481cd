"""Items over HTTP: FastAPI, in Lambda by Mangum.

An endpoint written with `def` runs in a thread of FastAPI's pool, and may simply call the broker.
One written with `async def` runs in the event loop, which a call would hold up: there it is
`await asyncio.to_thread(…)`. An environment has one request at a time, so one session will do for
both; an endpoint that asks in several threads at once needs BROKER_MAX_SESSIONS.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from mangum import Mangum
from pydantic import BaseModel, Field

from broker import Broker

from .failures import tell

db = Broker.from_env()
app = FastAPI()
tell(app)


class Item(BaseModel):
    """What is sold."""

    sku: Annotated[str, Field(max_length=20)]
    price: Annotated[int, Field(gt=0)]


@app.post("/items", status_code=201)
def add(item: Item) -> Item:
    """Add an item; 409 if it is there."""
    db.run("insert into shop_items (sku, price) values (:sku, :price)", **item.model_dump())
    return item


@app.get("/items/{sku}")
def item(sku: str) -> Item:
    """Return an item, or 404."""
    rows = db.read("select sku, price from shop_items where sku = :sku", sku=sku).dicts()
    if not rows:
        raise HTTPException(404, f"there is no {sku}")
    return Item(**rows[0])


@app.get("/total")
async def total(delay_s: Annotated[float, Query(ge=0)] = 0) -> dict[str, Any]:
    """Return what all items cost; 504 where the database takes longer than there is time."""
    sql = "select sum(price) as total from shop_items, pg_sleep(:delay_s)"
    return (await asyncio.to_thread(db.run, sql, delay_s=delay_s)).dicts()[0]


# Around everything: its deadline is every endpoint's, in whichever thread it runs.
handler = db.handler(Mangum(app, lifespan="off"))


def setup(event: object, context: object) -> str:
    """Create the table, to try it."""
    db.run("create table if not exists shop_items (sku text primary key, price int not null)")
    return "created"
