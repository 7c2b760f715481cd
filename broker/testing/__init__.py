"""pytest fixtures that run handlers against the real thing: docs/testing.md.

`pytest_plugins = ["broker.testing"]` in the topmost conftest.py loads them. There is no entry
point: a test run that does not ask imports nothing of it.
"""

from broker.testing.database import Database
from broker.testing.function import DeployedFunction
from broker.testing.server import Server

__all__ = ["Database", "DeployedFunction", "Server"]

pytest_plugins = ["broker.testing.fixtures"]
