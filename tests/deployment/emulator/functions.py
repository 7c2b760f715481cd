"""Lambda: the concurrency that a template reserves, and variables that name a secret's value."""

from __future__ import annotations

import json
import re
from typing import Any

from ministack.services import lambda_svc, secretsmanager
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties
from .secrets import name_of

KIND = "AWS::Lambda::Function"
OWN = provisioners._RESOURCE_HANDLERS[KIND]
RESERVED = "ReservedConcurrentExecutions"
REFERENCE = re.compile(r"\{\{resolve:secretsmanager:(\S+):SecretString:(\w+)::\}\}")


def _resolved(properties: Properties) -> Properties:
    """Return the properties with what CloudFormation makes of a variable's dynamic reference."""
    given = properties.get("Environment", {}).get("Variables", {})
    variables = {name: REFERENCE.sub(_value, str(value)) for name, value in given.items()}
    return {**properties, "Environment": {"Variables": variables}}


def _value(reference: re.Match[str]) -> str:
    secret = secretsmanager._secrets[name_of(reference[1])]
    return str(json.loads(_current(secret))[reference[2]])


def _current(secret: dict[str, Any]) -> str:
    (text,) = (
        version["SecretString"]
        for version in secret["Versions"].values()
        if "AWSCURRENT" in version["Stages"]
    )
    return str(text)


def _reserve(made: Created, properties: Properties) -> Created:
    name = made[0]
    if RESERVED in properties:
        lambda_svc._put_function_concurrency(name, {RESERVED: int(properties[RESERVED])})
    else:
        lambda_svc._delete_function_concurrency(name)
    return made


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Make the function."""
    return _reserve(OWN["create"](logical_id, _resolved(properties), stack), properties)


def update(name: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    """Change it in place."""
    old, new = _resolved(old), _resolved(new)
    return _reserve(OWN["update"](name, old, new, stack, logical_id), new)


HANDLERS: dict[str, dict[str, Any]] = {KIND: {**OWN, "create": create, "update": update}}
