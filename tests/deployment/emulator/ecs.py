"""ECS: task definitions with all that is nested in them, as ECS itself spells it.

And which resource a policy must name for a call about one service: the service (Service
Authorization Reference, "Amazon Elastic Container Service"), where the emulator takes the cluster.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions
from ministack.services import ecs
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties

KIND = "AWS::ECS::TaskDefinition"
OWN = provisioners._RESOURCE_HANDLERS[KIND]
_resource = iam_actions.extract_resource_arn


def install() -> None:
    """Teach it the services' resource."""
    iam_actions.extract_resource_arn = _resource_or_service


def _resource_or_service(service: str, method: str, path: str, *rest: Any) -> str:
    found = str(_resource(service, method, path, *rest))
    if service != "ecs":
        return found
    body = json.loads(rest[1] or b"{}")
    named = [str(each) for each in (body.get("service"), *body.get("services", ())) if each]
    return named[0] if len(named) == 1 and named[0].startswith("arn:") else found


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
