"""A login: who, where, and with what password."""

from __future__ import annotations

from broker.deadline import Instant
from broker.settings import Settings


class Login:
    """What a session is opened with. The password shows in no repr."""

    __slots__ = ("obtained_at", "password", "settings")

    def __init__(self, settings: Settings, password: str, obtained_at: Instant) -> None:
        self.settings = settings
        """Complete: they say who, and where."""
        self.password = password
        self.obtained_at = obtained_at

    def __repr__(self) -> str:
        return f"<Login of {self.settings.user}>"

    def same_as(self, other: Login) -> bool:
        """Tell whether a server that refuses the one will refuse the other."""
        return (self.password, self.settings.user) == (other.password, other.settings.user)
