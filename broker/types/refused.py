"""Why a value cannot be sent, before it is known which parameter it stands in."""

from __future__ import annotations


class Refused(Exception):
    """This value has no exact text for PostgreSQL. The message completes "it cannot be sent: "."""

    @classmethod
    def type_of(cls, value: object) -> Refused:
        """Return the refusal of a type that PostgreSQL has nothing for."""
        name = type(value).__qualname__
        return cls(f"PostgreSQL has no type for a {name}; give its text, its parts, or a list")
