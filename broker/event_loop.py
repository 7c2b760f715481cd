"""Whether a call holds up an asyncio event loop: then it is said, once."""

from __future__ import annotations

import sys


class Watch:
    """Warns, once, of calls in a thread that runs an event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._warned = False

    def look(self) -> None:
        """Warn if an event loop runs here. Costs well under a microsecond, and imports nothing."""
        events = sys.modules.get("asyncio.events")
        if events is None or self._warned or events._get_running_loop() is None:
            return
        import logging  # late for its weight

        self._warned = True
        logging.getLogger("broker").warning(
            "a call to %s blocks the event loop of this thread, and every task in it: use "
            "await asyncio.to_thread(…), and BROKER_MAX_SESSIONS for as many calls at once",
            self._name,
        )
