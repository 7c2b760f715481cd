"""What CloudFormation asks for.

Source: "Custom resource request objects" (CloudFormation Template Reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CREATE, UPDATE, DELETE = "Create", "Update", "Delete"
ROLES = "Custom::BrokerRoles"
FAILED_CREATE = "-not-created"  # the end of the physical id of what a Create could not finish


@dataclass(frozen=True)
class Request:
    """One event; the ResponseURL is signed, so it shows in no repr."""

    kind: str
    resource_type: str
    response_url: str = field(repr=False)
    stack_id: str
    request_id: str
    logical_id: str
    physical_id: str
    properties: Mapping[str, Any]
    before: Mapping[str, Any]
    """The properties until now, for an Update."""

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Request:
        """Return the request; raises KeyError for an event that nobody could answer."""
        made = str(event.get("PhysicalResourceId") or "")
        return cls(
            kind=str(event["RequestType"]),
            resource_type=str(event.get("ResourceType", "")),
            response_url=event["ResponseURL"],
            stack_id=event["StackId"],
            request_id=event["RequestId"],
            logical_id=event["LogicalResourceId"],
            physical_id=made or _name(event["StackId"], event["LogicalResourceId"]),
            properties=event.get("ResourceProperties") or {},
            before=event.get("OldResourceProperties") or {},
        )

    @property
    def undoes_failure(self) -> bool:
        """Whether this deletes what a Create could not finish."""
        return self.kind == DELETE and self.physical_id.endswith(FAILED_CREATE)

    @property
    def gives_passwords(self) -> bool:
        """Whether this gives the roles the passwords of their secrets."""
        return self.resource_type == ROLES and self.kind in (CREATE, UPDATE)


def _name(stack_id: str, logical_id: str) -> str:
    """Return the resource's id: the same whenever its Create is sent again, and for its life.

    Another id would have CloudFormation delete what the first one stands for.
    """
    stack = stack_id.rpartition(":stack/")[2].partition("/")[0] or stack_id
    return f"{stack}-{logical_id}"
