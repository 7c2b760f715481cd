"""Every block of code on every page is run, read or compared; what is not says why."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.cli.commands import group
from broker.local.pgbouncer import PgBouncer
from broker.plan import parse
from tests.conftest import Database

from .pages import BLOCKS, ROOT, Block

os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # jsii wants its Node
RUN_ELSEWHERE = {
    "docs/dbapi.md": "tests/integration/test_docs_code.py",
    "docs/sqlalchemy.md": "tests/integration/test_docs_code.py",
    "docs/testing.md": "tests/integration/test_testing.py",
    "docs/types.md": "tests/integration/test_docs_code.py",
}
"""Pages whose Python another test runs, which names them."""
RUN_HERE = ("README.md", "docs/index.md", "docs/security.md", "docs/deploy.md")
NOT_RUN = {
    "broker/          the library: broker.py is what a handler sees, wire/ speaks the protocol": (
        "the layout"
    ),
    "PostgreSQL with max_connections = 100": "make demo's output: tests/integration/test_demo.py",
    '"created"': "fastapi_app's: tests/examples/test_fastapi_app.py provokes each answer",
    "Context impl PostgresqlImpl.": "tests/examples/test_alembic_migrations.py",
    '["Ada"]': "tests/examples/test_alembic_migrations.py calls the handler",
    "20000 /tmp/items.csv": "tests/examples/test_streaming.py counts the lines",
    '[{"id": 2, "sku": "b"}, {"id": 1, "sku": "a"}]': "what the handler's test below expects",
}
"""Blocks without a language and without a prompt, by their first lines, with the reason."""
DOCTOR = "PostgreSQL 18.6 at"  # tests/integration/observe makes each of its findings
AWAY = '{"statusCode": 503'  # tests/examples/test_api_gateway.py
DRAWN = re.compile(r"[─▶┌│]")  # a picture
BASE = """
[database]
instance = "db.m7g.large"
[broker]
flavour = "{flavour}"
[[functions]]
name = "orders"
concurrency = 50
timeout = "30 s"
"""


def of(language: str, *pages: str) -> list[Any]:
    found = [b for b in BLOCKS if b.language == language and (not pages or b.page in pages)]
    return [pytest.param(block, id=str(block)) for block in found]


@pytest.mark.parametrize("block", [pytest.param(b, id=str(b)) for b in BLOCKS])
def test_every_block_is_of_a_kind_that_is_checked(block: Block) -> None:
    match block.language:
        case "python":
            assert block.page in {*RUN_HERE, *RUN_ELSEWHERE}, f"{block}: nobody runs it"
        case "toml" | "sql" | "ini" | "sh":
            pass  # each has a test of its own, over all pages
        case "" | "text":
            known = block.first.startswith(("$ ", DOCTOR, AWAY)) or block.first in NOT_RUN
            known = known or is_an_example_s(block)
            assert known or DRAWN.search(block.text), f"{block}: unchecked"
        case _:
            pytest.fail(f"{block}: nobody checks blocks of {block.language}")


def is_an_example_s(block: Block) -> bool:
    """Tell whether tests/examples/test_readmes.py compares it: it is behind the invocations."""
    before = [each for each in BLOCKS if each.page == block.page and each.line < block.line]
    last = before[-1].text if before else ""
    return block.page.startswith("examples/") and "\ninvoke " in last and "() {" not in last


def test_what_is_listed_is_there() -> None:
    first = {block.first for block in BLOCKS}
    assert set(NOT_RUN) <= first, set(NOT_RUN) - first
    for page, test in RUN_ELSEWHERE.items():
        assert f'"{Path(page).name}"' in (ROOT / test).read_text(), f"{test} no longer runs {page}"


@pytest.mark.parametrize("block", of("toml"))
def test_toml_is_a_deployment(block: Block, tmp_path: Path) -> None:
    if "[deploy" not in block.text:
        parse(block.text, str(block))
        return
    from infra.settings import read_settings

    text = block.text
    if "region = " in text:  # with another region's prices, as the page says
        text += '[prices]\nregion = "eu-west-1"\nnlb = 0.0252\n'
    (tmp_path / "broker.toml").write_text(BASE.format(flavour="pgbouncer") + text)
    read_settings({}, tmp_path)


def test_toml_with_a_wrong_key_is_found(tmp_path: Path) -> None:
    block = Block("page.md", 1, "toml", "[deploy.monitor]\nonn = true\n")
    with pytest.raises(Exception, match="onn"):
        test_toml_is_a_deployment(block, tmp_path)


@pytest.mark.parametrize("block", of("sql"))
def test_sql_runs_on_a_server(block: Block, database: Database) -> None:
    """In a transaction that is rolled back, with the table and the role that the pages speak of."""
    admin = database.server.connect(database.name)
    try:
        admin.run("begin")
        if not admin.run("select from pg_roles where rolname = 'app'"):
            admin.run("create role app")
        admin.run("create table orders (id bigint)")
        admin.run(block.text)
        admin.run("rollback")
    finally:
        admin.close()


@pytest.mark.parametrize("block", of("ini"))
def test_ini_is_what_render_prints(block: Block, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from .test_printed import files

    (tmp_path / "pooled.toml").write_text(files(block.page)["pooled.toml"])
    result = CliRunner().invoke(group, ["render", str(tmp_path / "pooled.toml")])
    assert result.exit_code == 0, result.output
    assert block.text in result.output


def variables(database: Database, pooler: PgBouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = database.settings(pooler)
    for name in ("host", "port", "database", "user", "password"):
        monkeypatch.setenv(f"BROKER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("BROKER_TLS", "off")


@pytest.mark.parametrize("block", of("python", "README.md", "docs/index.md"))
def test_the_first_handler_answers_as_the_page_says(
    block: Block,
    database: Database,
    pgbouncer: Callable[..., PgBouncer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables(database, pgbouncer(), monkeypatch)
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(block.text, str(block), "exec", dont_inherit=True), names)
    answer = json.dumps(names["handler"]({"skus": ["a", "b"]}, None))
    names["db"].close()
    assert answer in (ROOT / block.page).read_text()


@pytest.mark.parametrize("block", of("python", "docs/security.md"))
def test_a_column_is_chosen_from_a_list(
    block: Block, broker_to: Callable[..., Any], pgbouncer: Callable[..., PgBouncer]
) -> None:
    db = broker_to(pgbouncer())
    db.run("create table customers (name text, created_at timestamptz default now())")
    db.run("insert into customers values ('b'), ('a')")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec", dont_inherit=True), names)
    assert names["listed"](db, "name") == [["a"], ["b"]]
    with pytest.raises(KeyError):
        names["listed"](db, "name; drop table customers")


@pytest.mark.parametrize("block", of("python", "docs/deploy.md"))
def test_the_construct_takes_what_the_page_gives_it(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    from aws_cdk import App, Stack
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_rds as rds

    stack = Stack(App(context={"aws:cdk:bundling-stacks": []}), "Orders")
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
    database = rds.DatabaseInstance(stack, "Db", engine=engine, vpc=vpc)
    fn = lambda_.Function(
        stack,
        "orders",
        runtime=lambda_.Runtime.PYTHON_3_14,
        architecture=lambda_.Architecture.ARM_64,
        handler="app.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
    )
    names: dict[str, Any] = {"self": stack, "database": database, "vpc": vpc, "fn": fn}
    exec(compile(block.text, str(block), "exec", dont_inherit=True), names)
    assert names["broker"].plan.deployment.file == "broker.toml"
    assert re.match(r"\$\{Token", names["broker"].host)
