"""A stack, as boto3 reads it back: never the CLI's word."""

from __future__ import annotations

import json
from typing import Any

from tests.deployment.emulated import Emulator


class Stack:
    """What CloudFormation says of one stack, and its functions, which can be invoked."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator, self.name = emulator, name
        self._cloudformation = emulator.client("cloudformation")

    def _described(self) -> dict[str, Any]:
        stacks: list[dict[str, Any]] = self._cloudformation.describe_stacks(StackName=self.name)[
            "Stacks"
        ]
        return stacks[0]

    @property
    def status(self) -> str:
        """Its status, as CREATE_COMPLETE."""
        return str(self._described()["StackStatus"])

    def output(self, name: str) -> str:
        """Return one of its outputs."""
        found = {each["OutputKey"]: each["OutputValue"] for each in self._described()["Outputs"]}
        return str(found[name])

    def resources(self) -> dict[str, tuple[str, str]]:
        """Return the type and the physical id of each resource, by its logical id."""
        listed = self._cloudformation.describe_stack_resources(StackName=self.name)
        return {
            each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
            for each in listed["StackResources"]
        }

    def of(self, kind: str) -> list[str]:
        """Return the physical ids of a type's resources, as EC2::VPC."""
        return [id for found, id in self.resources().values() if found == f"AWS::{kind}"]

    def the(self, kind: str) -> str:
        """Return the physical id of the one resource of a type."""
        (found,) = self.of(kind)
        return found

    def named(self, kind: str, part: str) -> str:
        """Return the physical id of the one resource of a type with this in its logical id."""
        (found,) = (
            id
            for logical, (each, id) in self.resources().items()
            if each == f"AWS::{kind}" and part in logical
        )
        return found

    def events(self) -> int:
        """Return how many events it has had."""
        pages = self._cloudformation.get_paginator("describe_stack_events")
        return sum(len(page["StackEvents"]) for page in pages.paginate(StackName=self.name))

    def invoke(self, name: str, event: dict[str, Any] | None = None) -> Any:
        """Invoke a function by its name in broker.toml; what it returned."""
        return self.call(self.output(f"{name}Function"), event)

    def call(self, function: str, event: dict[str, Any] | None = None) -> Any:
        """Invoke a function by its name in the account; what it returned."""
        answer = self.emulator.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(event or {})
        )
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, f"{payload}\n{self.emulator.log_tail()}"
        return payload
