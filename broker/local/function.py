"""A function to run locally: what one `AWS::Lambda::Function` says, as far as it matters here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from broker.errors import UsageError

MAX_TIMEOUT_S = 900  # Lambda's limit: 15 minutes
MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240  # Lambda's limits

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
    }
)
"""What a function cannot set, as on Lambda (its developer guide, "Defined runtime variables")."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidFunction(UsageError):
    """Lambda would refuse this function. Correct the value that the message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One version of one function; a function that differs in anything is a new deployment.

    `handler` is "module.attribute" inside the directory `code`, which nothing writes to.
    `reserved_concurrency` counts requests in flight over all versions; 0 disables the function.
    `memory_mb` is what the context reports: it is not enforced here.
    """

    name: str
    handler: str
    code: Path
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    timeout_s: float = 3.0  # Lambda's default
    memory_mb: int = MIN_MEMORY_MB
    reserved_concurrency: int | None = None
    version: str = "1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))
        object.__setattr__(self, "code", Path(self.code).resolve())
        for complaint in self._complaints():
            raise InvalidFunction(f"function {self.name!r}: {complaint}")

    def _complaints(self) -> list[str]:
        reserved = sorted(RESERVED_VARIABLES & self.environment.keys())
        concurrency = self.reserved_concurrency
        checks = {
            "the name may hold 1 to 64 letters, digits, - and _": _NAME.fullmatch(self.name),
            f"handler {self.handler!r} is not of the form module.attribute": "." in self.handler,
            f"the code directory {self.code} does not exist": self.code.is_dir(),
            f"a timeout of {self.timeout_s} s is not in ]0, {MAX_TIMEOUT_S}]": (
                0 < self.timeout_s <= MAX_TIMEOUT_S
            ),
            f"{self.memory_mb} MB is not in [{MIN_MEMORY_MB}, {MAX_MEMORY_MB}]": (
                MIN_MEMORY_MB <= self.memory_mb <= MAX_MEMORY_MB
            ),
            f"a reserved concurrency of {concurrency} is negative": (
                concurrency is None or concurrency >= 0
            ),
            f"Lambda sets {', '.join(reserved)} itself": not reserved,
        }
        return [complaint for complaint, fine in checks.items() if not fine]
