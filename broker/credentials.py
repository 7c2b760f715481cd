"""Where the password comes from."""

from __future__ import annotations

from broker.settings import Settings


class Credentials:
    """The password that a new session is opened with. It shows in no repr."""

    def __init__(self, settings: Settings) -> None:
        self._password = settings.password

    def password(self) -> str:
        """Return the password as it is now."""
        return self._password
