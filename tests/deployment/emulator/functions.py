"""Lambda: the concurrency that a template reserves for a function."""

from __future__ import annotations

from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties

KIND = "AWS::Lambda::Function"
OWN = provisioners._RESOURCE_HANDLERS[KIND]
RESERVED = "ReservedConcurrentExecutions"


def _reserve(made: Created, properties: Properties) -> Created:
    name = made[0]
    if RESERVED in properties:
        lambda_svc._put_function_concurrency(name, {RESERVED: int(properties[RESERVED])})
    else:
        lambda_svc._delete_function_concurrency(name)
    return made


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Make the function."""
    return _reserve(OWN["create"](logical_id, properties, stack), properties)


def update(name: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    """Change it in place."""
    return _reserve(OWN["update"](name, old, new, stack, logical_id), new)


HANDLERS: dict[str, dict[str, Any]] = {KIND: {**OWN, "create": create, "update": update}}
