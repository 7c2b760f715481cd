"""PostgreSQL's messages in a stream of bytes: where they end, and what a flight asks for."""

from __future__ import annotations

from struct import unpack_from

_LENGTH_BYTES = 4
_CODE_BYTES = 1
_PARSE, _QUERY = b"P", b"Q"
_READY = b"Z\0\0\0\5"


class Frontend:
    """Cuts what a client sends into whole messages, so that nothing is cut in the middle of one."""

    def __init__(self) -> None:
        self._unread = b""
        self._started = False  # the messages before the start-up's end have no type

    def feed(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """Return the bytes of the messages that are whole by now, and the SQL in them."""
        buffer, at = self._unread + data, 0
        statements: list[str] = []
        while (end := self._end_of_message(buffer, at)) <= len(buffer):
            if self._started:
                statements += _sql(buffer[at : at + 1], buffer[at + 5 : end])
            else:
                self._started = buffer[at + 4 : at + 8] == b"\0\3\0\0"  # StartupMessage 3.0
            at = end
        self._unread = buffer[at:]
        return buffer[:at], tuple(statements)

    def _end_of_message(self, buffer: bytes, at: int) -> int:
        code_bytes = _CODE_BYTES if self._started else 0
        if len(buffer) < at + code_bytes + _LENGTH_BYTES:
            return len(buffer) + 1
        (length,) = unpack_from("!i", buffer, at + code_bytes)
        return int(at + code_bytes + length)


def _sql(code: bytes, body: bytes) -> list[str]:
    if code == _PARSE:
        return [body.split(b"\0", 2)[1].decode(errors="replace").lower()]
    if code == _QUERY:
        return [body.rstrip(b"\0").decode(errors="replace").lower()]
    return []


def ends_an_answer(data: bytes) -> bool:
    """Tell whether what a server sent ends in ReadyForQuery: the whole flight is answered."""
    return data[-6:-1] == _READY
