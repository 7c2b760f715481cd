"""The ledger tells every way in which a table can disagree with what was said."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.ledger import Claim, Told, Wrong, disagreements

BOTH = ("t/1", "t/2")


@pytest.mark.parametrize(
    ("told", "found", "wrong"),
    [
        (Told.ACKNOWLEDGED, {"t/1": 1, "t/2": 1}, None),
        (Told.ACKNOWLEDGED, {"t/1": 1}, Wrong.LOST),
        (Told.ACKNOWLEDGED, {}, Wrong.LOST),
        (Told.ACKNOWLEDGED, {"t/1": 2, "t/2": 2}, Wrong.DOUBLED),
        (Told.REFUSED, {}, None),
        (Told.REFUSED, {"t/1": 1, "t/2": 1}, Wrong.KEPT),
        (Told.UNKNOWN, {}, None),
        (Told.UNKNOWN, {"t/1": 1, "t/2": 1}, None),
        (Told.UNKNOWN, {"t/2": 1}, Wrong.TORN),
        (Told.UNKNOWN, {"t/1": 2, "t/2": 2}, Wrong.DOUBLED),
        (Told.UNREPORTED, {"t/1": 1}, Wrong.TORN),
        (Told.UNREPORTED, {}, None),
    ],
)
def test_what_was_said_of_a_transaction_is_held_against_the_table(
    told: Told, found: dict[str, int], wrong: Wrong | None
) -> None:
    seen = disagreements([Claim(BOTH, told)], Counter(found))
    assert [one.wrong for one in seen] == ([wrong] if wrong else [])


def test_a_row_that_nobody_wrote_is_told() -> None:
    seen = disagreements([Claim(BOTH, Told.REFUSED)], Counter({"other/1": 1}))
    assert [(one.wrong, one.token) for one in seen] == [(Wrong.STRAY, "other/1")]
