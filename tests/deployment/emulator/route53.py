"""Route 53: a zone of VPCs is private, and theirs."""

from __future__ import annotations

from typing import Any

from ministack.services import route53
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties

KIND = "AWS::Route53::HostedZone"
OWN = provisioners._RESOURCE_HANDLERS[KIND]


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Make the zone."""
    zone, attributes = OWN["create"](logical_id, properties, stack)
    if properties.get("VPCs"):
        route53._zones[zone] |= {"private": True, "vpcs": list(properties["VPCs"])}
    return zone, attributes


HANDLERS: dict[str, dict[str, Any]] = {KIND: {**OWN, "create": create}}
