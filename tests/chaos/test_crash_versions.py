"""What a crash does to ids, and to what rides along with them, on each PostgreSQL from 13 to 17.

18 is what test_crash.py runs on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.local.postgres import Postgres
from broker.settings import Flavour
from tests.chaos import test_crash
from tests.conftest import OLDER, need_postgres_of

hop, db = test_crash.hop, test_crash.db


@pytest.fixture(params=OLDER)
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Start one older version after the other."""
    need_postgres_of(request.param)
    with test_crash.with_ledger(request.param) as started:
        yield started


@pytest.fixture
def flavour() -> Flavour:
    """Go straight to the server."""
    return Flavour.DIRECT


test_given_again = test_crash.test_an_id_that_was_given_again_after_a_crash_acknowledges_nothing
test_not_denied = test_crash.test_a_commit_that_was_kept_before_the_crash_is_not_denied
test_in_peace = test_crash.test_a_restart_in_peace_hides_no_outcome
