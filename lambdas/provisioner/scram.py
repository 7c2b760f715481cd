"""A password as PostgreSQL keeps it, so that no statement and no log ever holds the password."""

from __future__ import annotations

import secrets
from base64 import b64encode

import scramp

from .refusal import Refused

ITERATIONS = 4096  # PostgreSQL's default (scram_iterations)
SALT_BYTES = 16


def verifier(password: str, salt: bytes | None = None) -> str:
    """Return the SCRAM-SHA-256 verifier: what CREATE ROLE … PASSWORD takes in place of it.

    Raises Refused for a password that SASLprep (RFC 4013) forbids.
    """
    salt = salt or secrets.token_bytes(SALT_BYTES)
    try:
        _, stored, server, _ = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
            password, iteration_count=ITERATIONS, salt=salt
        )
    except scramp.ScramException:
        raise Refused("the password holds characters that SCRAM forbids (RFC 4013)") from None
    salted, kept, proof = (b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salted}${kept}:{proof}"
