"""Start-up and authentication, without I/O: what the client answers to the server's requests.

PostgreSQL manual, 54.2.1 and 54.3; SCRAM-SHA-256 is RFC 5802 and RFC 7677, its channel binding RFC
5929. What is loaded only by a password that is asked for is imported then.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import unpack_from
from typing import TYPE_CHECKING

from broker.errors import AuthenticationFailed, ProtocolError
from broker.wire import messages

if TYPE_CHECKING:
    from broker.wire.scram import ScramClient

_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_OTHERS = {2: "Kerberos V5", 7: "GSSAPI", 8: "GSSAPI", 9: "SSPI"}


class StartUp:
    """Answers one server's requests for a password.

    `certificate` is the server's, in DER, where the session has TLS: the password's proof is then
    bound to it, so that nobody in between can use it.
    """

    def __init__(
        self, parameters: Mapping[str, str], password: str, certificate: bytes | None = None
    ) -> None:
        self.parameters = parameters
        self.done = False
        """Whether the server has let the client in."""
        self._password = _encoded(password)
        self._certificate = certificate
        self._scram: ScramClient | None = None

    def __repr__(self) -> str:
        return f"<StartUp of {self.parameters.get('user')!r}>"

    def answer(self, body: bytes) -> bytes:
        """Return the messages that answer an authentication request; b"" where none is asked for.

        Raises AuthenticationFailed for a method that is not supported and a server that does not
        prove that it knows the password.
        """
        (method,), data = unpack_from("!i", body), body[4:]
        if method == _OK:
            if self._scram is not None and not self._scram.verified:
                raise AuthenticationFailed(
                    "the server logged in without proving that it knows the password"
                )
            self.done = True
            return b""
        if self.done:
            raise ProtocolError("the server asked for a password after it had let the client in")
        if method == _CLEARTEXT:
            return messages.password(self._password + b"\0")
        if method == _MD5:
            return messages.password(self._md5(data[:4]) + b"\0")
        if method == _SASL:
            return self._begin_scram(data)
        if method in (_SASL_CONTINUE, _SASL_FINAL):
            if self._scram is None:
                raise ProtocolError("the server went on with an authentication that had not begun")
            if method == _SASL_CONTINUE:
                return messages.password(self._scram.final(data))
            self._scram.verify(data)
            return b""
        name = _OTHERS.get(method, f"number {method}")
        raise AuthenticationFailed(
            f"the server asks for the authentication method {name}, which is not supported: let "
            "pg_hba.conf have scram-sha-256 for this user"
        )

    def _md5(self, salt: bytes) -> bytes:
        from hashlib import md5  # late for its weight

        def digest(data: bytes) -> bytes:
            return md5(data, usedforsecurity=False).hexdigest().encode()

        inner = digest(self._password + self.parameters["user"].encode())
        return b"md5" + digest(inner + salt)

    def _begin_scram(self, data: bytes) -> bytes:
        from broker.wire.scram import MECHANISMS, ScramClient  # late for its weight

        offered = [name.decode("ascii", "replace") for name in data.split(b"\0") if name]
        if not any(name in MECHANISMS for name in offered):
            raise AuthenticationFailed(
                f"the server asks for the SASL mechanisms {', '.join(offered) or 'of no name'}, "
                "which are not supported: let it have SCRAM-SHA-256"
            )
        if self._scram is not None:
            raise ProtocolError("the server began the authentication again")
        self._scram = ScramClient(self._password.decode(), offered, self._certificate)
        first = self._scram.first
        name = self._scram.mechanism.encode()
        return messages.password(b"%b\0%b%b" % (name, len(first).to_bytes(4, "big"), first))


def _encoded(password: str) -> bytes:
    """Return the password in UTF-8; an error of ours where it has none, for Python's shows it."""
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise AuthenticationFailed(
            "the password holds a lone surrogate, which UTF-8 has no bytes for"
        ) from None
