"""Passwords are prepared as PostgreSQL prepares them (RFC 4013)."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scramp.utils import ScramException, saslprep

from broker.wire.saslprep import prepared


@pytest.mark.parametrize(
    ("password", "wanted"),
    [
        ("I\u00adX", "IX"),  # RFC 4013, 3
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("a\u3000b", "a b"),
        ("a\u200bb", "a b"),  # both a space and nothing: PostgreSQL takes it for a space
        ("e\u0301", "\u00e9"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        ("\u0627\u2122\u0628", "\u0627TM\u0628"),  # the letters come of it only afterwards
        ("\ufb1d", "\u05d9\u05b4"),
    ],
)
def test_a_password_is_normalized(password, wanted):
    assert prepared(password) == wanted.encode()


@pytest.mark.parametrize(
    "password",
    [
        "\u0007",  # RFC 4013, 3: prohibited
        "\u00e9\u0007",
        "\u0627\u0031",  # RFC 4013, 3: it reads from right to left and does not end so
        "\u0627\u00aa\u0628",
        "\u00ad",  # nothing would be left
        "\ue000",
        "\ufffd\u2168",
        "\u0340\u2168",  # prohibited before it is normalized to what is not
        "\u32cc",
        "\u0221\u2168",  # not assigned in Unicode 3.2
        "",
    ],
)
def test_what_is_prohibited_is_used_as_it_is(password):
    assert prepared(password) == password.encode()


texts = st.text(
    st.characters(codec="utf-8", max_codepoint=0x33FF, exclude_characters="\u200b"), min_size=1
)


@example("\u0627\u0031")
@given(texts)
def test_it_agrees_with_another_implementation(password):
    """Where normalizing changes nothing: PostgreSQL prohibits before it, the RFC after it."""
    assume(normalize("NFKC", password) == password)
    if password.isascii():  # PostgreSQL leaves these as they are
        assert prepared(password) == password.encode()
        return
    try:
        wanted = saslprep(password)
    except ScramException:
        wanted = password
    assert prepared(password) == (wanted or password).encode()
