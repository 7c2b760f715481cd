"""Pieces of any size, joined into the parts that a multipart upload wants. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def parts(pieces: Iterable[bytes], least: int) -> Iterator[bytes]:
    """Yield all bytes of `pieces` in order, in parts of `least` bytes or more, but for the last.

    It keeps one part and one piece. Of no pieces comes one empty part: an upload needs one.
    """
    kept = bytearray()
    yielded = False
    for piece in pieces:
        kept += piece
        if len(kept) >= least:
            yield bytes(kept)
            yielded = True
            kept.clear()
    if kept or not yielded:
        yield bytes(kept)
