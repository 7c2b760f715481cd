"""What PgBouncer is handed is what was asked for."""

from __future__ import annotations

import pytest

from broker.local.pooler_files import render_sections, render_userlist
from broker.local.process import ServerError


def test_an_ini_has_every_section_in_order() -> None:
    text = render_sections(
        {"databases": {"app": "host=h port=1"}, "pgbouncer": {"a": "1", "b": ""}}
    )
    assert text == "[databases]\napp = host=h port=1\n\n[pgbouncer]\na = 1\nb = \n"


def test_a_quote_in_a_password_is_doubled() -> None:
    assert render_userlist({"app": 'pa"ss'}) == '"app" "pa""ss"\n'


@pytest.mark.parametrize("password", ["two\nlines", "nul\0"])
def test_a_password_that_the_file_cannot_hold_is_refused(password: str) -> None:
    with pytest.raises(ServerError):
        render_userlist({"app": password})
