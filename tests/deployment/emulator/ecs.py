"""ECS: task definitions with all that is nested in them, as ECS itself spells it."""

from __future__ import annotations

from typing import Any

from ministack.services import ecs
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties

KIND = "AWS::ECS::TaskDefinition"
OWN = provisioners._RESOURCE_HANDLERS[KIND]


def _spell(made: Created, properties: Properties) -> Created:
    """Respell what the emulator leaves as CloudFormation has it: secrets, health check, limits."""
    arn = made[0]
    ecs._task_defs[arn.rpartition("/")[2]]["containerDefinitions"] = provisioners._pascal_to_camel(
        properties["ContainerDefinitions"]
    )
    return made


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Register it."""
    return _spell(OWN["create"](logical_id, properties, stack), properties)


def update(arn: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    """Register its next revision."""
    return _spell(OWN["update"](arn, old, new, stack, logical_id), new)


HANDLERS: dict[str, dict[str, Any]] = {KIND: {**OWN, "create": create, "update": update}}
