"""What cannot be done, in the words that CloudFormation shows."""

from __future__ import annotations

LONGEST = 700  # characters of a Reason, of up to 4 bytes; the whole answer may have 4096 bytes


class Refused(Exception):
    """The request cannot be carried out; the text says what to do, and holds no secret."""


class NotGranted(Refused):
    """A grant was refused; the roles are there, and have their passwords."""


def one_line(text: str) -> str:
    """Return the text as one line that fits."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
