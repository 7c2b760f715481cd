"""Keeps what was worked out for a text, bounded by bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
LARGEST_SHARE = 8  # an item larger than this part of the whole would displace too many others


class Cache(Generic[K, V]):
    """A dict that forgets what was not used for longest, safe for threads.

    It has two generations: what is used is in the young one. When that holds half of `max_bytes`,
    it becomes the old one, and the former old one is forgotten. A hit in the young one takes no
    lock. None is no value.
    """

    def __init__(self, max_bytes: int, size_bytes: Callable[[K, V], int]) -> None:
        """Hold `max_bytes` at most, of items as large as `size_bytes(key, value)` says."""
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._young_bytes = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Cache of {len(self._young)} + {len(self._old)} items>"

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: K) -> V | None:
        """Return what is kept under the key, or None."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep the value, unless it is larger than its share."""
        size = self._size_bytes(key, value)
        if size > self._max_bytes // LARGEST_SHARE:
            return
        with self._lock:
            if key in self._young:
                return
            if self._young_bytes + size > self._max_bytes // 2:
                self._old, self._young, self._young_bytes = self._young, {}, 0
            self._young[key] = value
            self._young_bytes += size
