"""What COPY reads from and writes to: files, and for reading any iterable, of text or bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import TextIOBase
from typing import Any

from broker.errors import UnsafeStatement
from broker.wire.translate import Fields

CHUNK = 65536  # bytes or characters read from a file at once, and bytes of an iterable sent


def chunks(source: Any) -> Iterator[bytes]:
    """Yield what a file or an iterable gives, as bytes; text is sent as UTF-8.

    An iterable's pieces are gathered, for they may be as small as a row.
    """
    if hasattr(source, "read"):
        while piece := source.read(CHUNK):
            yield _encoded(piece)
        return
    gathered: list[bytes] = []
    size = 0
    for piece in source:
        gathered.append(_encoded(piece))
        size += len(gathered[-1])
        if size >= CHUNK:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if gathered:
        yield b"".join(gathered)


def _encoded(piece: Any) -> bytes:
    return piece.encode() if isinstance(piece, str) else bytes(piece)


def writer(sink: Any) -> Callable[[bytes], object]:
    """Return what writes COPY's data to a file: as text where that is what it takes."""
    if isinstance(sink, TextIOBase):
        return lambda data: sink.write(data.decode())
    write: Callable[[bytes], object] = sink.write
    return write


class Transfer:
    """One COPY's data, from or to the caller's stream, and what went wrong with that."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._write: Callable[[bytes], object] | None = None
        self._failure: Exception | None = None
        self._dropped = False  # data, for want of a stream
        self.reason: bytes | None = None
        """Why the server is to fail a COPY FROM."""

    def pieces(self) -> Iterator[bytes]:
        """Yield what COPY FROM is to send. What the caller's stream raises ends it, and is kept."""
        if self._stream is None:
            self.reason = b"no stream was given for it"
            return
        try:
            yield from chunks(self._stream)
        except Exception as error:
            self._failure, self.reason = error, b"the stream failed on the client"

    def write(self, data: bytes) -> None:
        """Hand on a piece of what COPY TO gives."""
        if self._stream is None:
            self._dropped = True
        elif data:
            self._write = self._write or writer(self._stream)
            self._write(data)

    def check(self, error: Fields | None) -> None:
        """Raise what the caller's stream raised, or that there was none."""
        if self._failure is not None:
            raise self._failure
        if self._dropped and error is None:
            raise UnsafeStatement(
                "COPY TO STDOUT needs a stream to write to: run('copy …', stream=…) in db.session()"
            )
