"""The Python in these pages runs as it stands, against a real server behind a real PgBouncer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.local.pgbouncer import PgBouncer
from tests.conftest import Database

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["dbapi.md", "sqlalchemy.md", "types.md"])
def test_the_code_of_the_page_runs(
    page: str,
    database: Database,
    pgbouncer: Callable[..., PgBouncer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pooler = pgbouncer()
    settings = database.settings(pooler)
    for name in ("host", "port", "database", "user", "password"):
        monkeypatch.setenv(f"BROKER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("BROKER_TLS", "off")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec", dont_inherit=True), names)
    names["db"].close()
    if "by_url" in names:
        names["by_url"].dialect._from_env.close()
