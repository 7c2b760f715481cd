"""EC2: rules of security groups, NAT gateways and addresses, flow logs, a VPC's CIDR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties, Refused, call, only, refuse_replacement, text

Update = Callable[[str, Properties, Properties, str], Created]


def _permission(properties: Properties, group: str) -> dict[str, Any]:
    """Return the rule as EC2's actions take it; `group` is the other group's property."""
    permission = only(properties, "IpProtocol", "FromPort", "ToPort")
    described = only(properties, "Description")
    for key, ranges in (("CidrIp", "IpRanges"), ("CidrIpv6", "Ipv6Ranges")):
        if key in properties:
            permission[ranges] = [{key: properties[key], **described}]
    if group in properties:
        permission["Groups"] = [{"GroupId": properties[group], **described}]
    return {"GroupId": properties["GroupId"], "IpPermissions": [permission]}


def _rules(direction: str, group: str) -> dict[str, Callable[..., Any]]:
    """Return the handlers of AWS::EC2::SecurityGroupIngress or Egress."""

    def create(_logical_id: str, properties: Properties, _stack: str) -> Created:
        action = f"AuthorizeSecurityGroup{direction}"
        rule = text(call(ec2, action, _permission(properties, group)), "securityGroupRuleId")
        return rule, {"Id": rule}

    def delete(_rule: str, properties: Properties) -> None:
        try:
            call(ec2, f"RevokeSecurityGroup{direction}", _permission(properties, group))
        except Refused as error:
            if "NotFound" not in str(error):  # the group went first, and its rules with it
                raise

    def update(rule: str, old: Properties, new: Properties, stack: str) -> Created:
        """Everything but the description makes a new rule, as on AWS."""
        delete(rule, old)
        return create("", new, stack)

    return {"create": create, "update": update, "delete": delete}


def _address_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    answer = call(ec2, "AllocateAddress", only(properties, "Domain"))
    address, allocation = text(answer, "publicIp"), text(answer, "allocationId")
    return address, {"AllocationId": allocation, "PublicIp": address}


def _address_delete(address: str, _properties: Properties) -> None:
    answer = call(ec2, "DescribeAddresses", {"PublicIp": [address]})
    call(ec2, "ReleaseAddress", {"AllocationId": text(answer, "allocationId")})


def _gateway_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    wanted = only(properties, "SubnetId", "AllocationId", "ConnectivityType")
    gateway = text(call(ec2, "CreateNatGateway", wanted), "natGatewayId")
    return gateway, {"NatGatewayId": gateway}


def _gateway_delete(gateway: str, _properties: Properties) -> None:
    call(ec2, "DeleteNatGateway", {"NatGatewayId": gateway})


def _log_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    wanted = only(properties, "ResourceType", "TrafficType", "LogDestinationType", "LogDestination")
    wanted |= only(properties, "LogGroupName", "DeliverLogsPermissionArn")
    wanted["ResourceId"] = [properties["ResourceId"]]
    log = text(call(ec2, "CreateFlowLogs", wanted), "item")
    return log, {"Id": log}


def _log_delete(log: str, _properties: Properties) -> None:
    call(ec2, "DeleteFlowLogs", {"FlowLogId": [log]})


def _kept(kind: str, *fixed: str) -> Update:
    """Return an update for what has only tags to change in place."""

    def update(physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
        refuse_replacement(kind, old, new, *fixed)
        return physical_id, {}

    return update


def _vpc() -> dict[str, Any]:
    """Return the emulator's own handlers, with the CidrBlock that it does not give."""
    own = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"]

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        vpc, attributes = own["create"](logical_id, properties, stack)
        return vpc, {**attributes, "CidrBlock": properties["CidrBlock"]}

    def update(vpc: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
        vpc, attributes = own["update"](vpc, old, new, stack, logical_id)
        return vpc, {**attributes, "CidrBlock": new["CidrBlock"]}

    return {**own, "create": create, "update": update}


HANDLERS: dict[str, dict[str, Any]] = {
    "AWS::EC2::SecurityGroupIngress": _rules("Ingress", "SourceSecurityGroupId"),
    "AWS::EC2::SecurityGroupEgress": _rules("Egress", "DestinationSecurityGroupId"),
    "AWS::EC2::EIP": {
        "create": _address_create,
        "update": _kept("AWS::EC2::EIP", "Domain"),
        "delete": _address_delete,
    },
    "AWS::EC2::NatGateway": {
        "create": _gateway_create,
        "update": _kept("AWS::EC2::NatGateway", "SubnetId", "AllocationId", "ConnectivityType"),
        "delete": _gateway_delete,
    },
    "AWS::EC2::FlowLog": {
        "create": _log_create,
        "update": _kept("AWS::EC2::FlowLog", "ResourceId", "TrafficType", "LogGroupName"),
        "delete": _log_delete,
    },
    "AWS::EC2::VPC": _vpc(),
}
