"""Passwords as SCRAM wants them: SASLprep (RFC 4013), as PostgreSQL applies it."""

from __future__ import annotations


def prepared(password: str) -> bytes:
    """Return the password to hash.

    As in PostgreSQL, a password that SASLprep prohibits is used as it is.
    """
    if password.isascii():
        return password.encode()
    import stringprep  # late for its weight
    from unicodedata import normalize

    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    mapped = "".join(  # U+200B is in both tables: PostgreSQL asks the first one first
        " " if stringprep.in_table_c12(char) else "" if stringprep.in_table_b1(char) else char
        for char in password
    )
    # PostgreSQL looks at what is to be normalized, where the RFC has what comes of it.
    if not mapped or any(table(char) for char in mapped for table in prohibited):
        return password.encode()
    if any(map(stringprep.in_table_d1, mapped)) and (
        any(map(stringprep.in_table_d2, mapped))
        or not (stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1]))
    ):
        return password.encode()
    return normalize("NFKC", mapped).encode()
