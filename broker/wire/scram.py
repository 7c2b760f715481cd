"""The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), without I/O."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from secrets import token_bytes

from broker.errors import AuthenticationFailed
from broker.wire.channel_binding import certificate_hash
from broker.wire.saslprep import prepared

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
MECHANISMS = (PLUS, PLAIN)
MIN_ITERATIONS = 4096  # RFC 7677, 4: fewer make the proof cheap to guess from
MAX_ITERATIONS = 1_000_000  # about half a second: more would let a server keep the processor busy
NONCE_BYTES = 18  # libpq's number


class ScramClient:
    """Proves one password to a server, and has the server prove that it knows it.

    Raises AuthenticationFailed for a server that does not keep to the exchange or whose proof is
    wrong.
    """

    def __init__(
        self,
        password: str,
        offered: Sequence[str],
        certificate: bytes | None,
        nonce: bytes | None = None,
    ) -> None:
        binding = certificate_hash(certificate) if certificate else None
        bound = binding is not None and PLUS in offered
        self.mechanism = PLUS if bound else PLAIN
        """Which of the offered mechanisms is used."""
        self.verified = False
        """Whether the server has proved that it knows the password."""
        self._password = prepared(password)
        self._nonce = b64encode(nonce or token_bytes(NONCE_BYTES)).decode()
        # y: the client could bind, and the server did not offer it (RFC 5802, 6)
        flag = b"p=tls-server-end-point" if bound else b"y" if binding is not None else b"n"
        header = flag + b",,"
        self._binding = b64encode(header + (binding or b"" if bound else b"")).decode()
        self._first_bare = f"n=,r={self._nonce}"  # the user's name is the start-up message's
        self.first = header + self._first_bare.encode()
        """The client's first message."""
        self._server_signature = b""

    def __repr__(self) -> str:
        return f"<ScramClient {self.mechanism}>"

    def final(self, server_first: bytes) -> bytes:
        """Return the client's final message."""
        if self._server_signature:
            raise AuthenticationFailed("the server asked for a second proof of the password")
        fields = _fields(server_first)
        if "m" in fields:
            raise AuthenticationFailed("the server asks for an extension of SCRAM that is unknown")
        nonce, iterations = fields.get("r", ""), fields.get("i", "")
        try:
            salt, count = b64decode(fields.get("s", ""), validate=True), _number(iterations)
        except ValueError as error:
            raise AuthenticationFailed("the server's salt or iteration count is broken") from error
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise AuthenticationFailed("the server's nonce does not go on from the client's")
        if not MIN_ITERATIONS <= count <= MAX_ITERATIONS:
            raise AuthenticationFailed(
                f"the server asks for {count} SCRAM iterations: between {MIN_ITERATIONS} and "
                f"{MAX_ITERATIONS} are accepted (scram_iterations)"
            )
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, count)
        client_key = _hmac(salted, b"Client Key")
        without_proof = f"c={self._binding},r={nonce}"
        signed = f"{self._first_bare},{server_first.decode()},{without_proof}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{without_proof},p={b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Check the server's proof."""
        given = _fields(server_final).get("v", "")
        expected = b64encode(self._server_signature).decode()
        if not self._server_signature or not hmac.compare_digest(given.encode(), expected.encode()):
            raise AuthenticationFailed("the server does not know the password it was asked for")
        self.verified = True


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _number(digits: str) -> int:
    if not digits.isdigit():  # int would take 4_096, too
        raise ValueError("no number")
    return int(digits)


def _fields(message: bytes) -> dict[str, str]:
    try:
        pairs = [part.partition("=") for part in message.decode("ascii").split(",")]
    except UnicodeDecodeError as error:
        raise AuthenticationFailed("the server's SCRAM message is not text") from error
    return {name: value for name, _, value in pairs}
