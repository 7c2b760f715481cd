"""Secrets Manager: a secret's Ref is its ARN, as on AWS, which policies name."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

from .backend import Created, Properties

KIND = "AWS::SecretsManager::Secret"
OWN = provisioners._RESOURCE_HANDLERS[KIND]


def name_of(arn: str) -> str:
    """Return the name, by which the emulator's own handlers know a secret."""
    return arn.partition(":secret:")[2].rpartition("-")[0]


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Make a secret."""
    _, attributes = OWN["create"](logical_id, properties, stack)
    return attributes["Arn"], attributes


def update(arn: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    """Change it in place."""
    _, attributes = OWN["update"](name_of(arn), old, new, stack, logical_id)
    return attributes["Arn"], attributes


def delete(arn: str, properties: Properties) -> None:
    """Delete it at once."""
    OWN["delete"](name_of(arn), properties)


HANDLERS: dict[str, dict[str, Any]] = {
    KIND: {**OWN, "create": create, "update": update, "delete": delete}
}
