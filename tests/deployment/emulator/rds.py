"""RDS: proxies, their targets and endpoints, and the administrator's secret that RDS manages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import rds
from ministack.services.cloudformation import provisioners

from . import secrets
from .backend import Created, Properties, Refused, call, only, refuse_replacement, text

LISTS = ".member"
INSTANCE, CLUSTER = "AWS::RDS::DBInstance", "AWS::RDS::DBCluster"
ZONE = "emulated.us-east-1.rds.amazonaws.com"
"""What all endpoints are in, so that one certificate of the server behind has all their names."""


def _call(action: str, **parameters: Any) -> Any:
    return call(rds, action, parameters, lists=LISTS)


def _proxy_attributes(name: str) -> dict[str, str]:
    proxy = rds._db_proxies[name]
    return {key: proxy[key] for key in ("DBProxyArn", "Endpoint", "VpcId")}


def _proxy_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    _call("CreateDBProxy", **properties)
    name = properties["DBProxyName"]
    rds._db_proxies[name]["Endpoint"] = f"{name}.{ZONE}".lower()
    return name, _proxy_attributes(name)


def _proxy_update(name: str, old: Properties, new: Properties, _stack: str) -> Created:
    fixed = ("DBProxyName", "EngineFamily", "VpcSubnetIds")
    refuse_replacement("AWS::RDS::DBProxy", old, new, *fixed)
    changes = only(
        new, "Auth", "DefaultAuthScheme", "RequireTLS", "IdleClientTimeout", "DebugLogging"
    )
    changes |= only(new, "RoleArn")
    groups = new.get("VpcSecurityGroupIds", [])
    _call("ModifyDBProxy", DBProxyName=name, SecurityGroups=groups, **changes)
    return name, _proxy_attributes(name)


def _proxy_delete(name: str, _properties: Properties) -> None:
    _call("DeleteDBProxy", DBProxyName=name)


def _pool(properties: Properties) -> str:
    """Set the connection pool's numbers; the target group's ARN."""
    answer = _call(
        "ModifyDBProxyTargetGroup",
        **only(properties, "DBProxyName", "TargetGroupName"),
        ConnectionPoolConfig=properties.get("ConnectionPoolConfigurationInfo", {}),
    )
    return text(answer, "TargetGroupArn")


def _targets(properties: Properties) -> dict[str, Any]:
    return only(
        properties,
        "DBProxyName",
        "TargetGroupName",
        "DBInstanceIdentifiers",
        "DBClusterIdentifiers",
    )


def _target_group_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    arn = _pool(properties)
    _call("RegisterDBProxyTargets", **_targets(properties))
    return arn, {"TargetGroupArn": arn}


def _target_group_update(arn: str, old: Properties, new: Properties, _stack: str) -> Created:
    fixed = ("DBProxyName", "TargetGroupName", "DBInstanceIdentifiers", "DBClusterIdentifiers")
    refuse_replacement("AWS::RDS::DBProxyTargetGroup", old, new, *fixed)
    _pool(new)
    return arn, {"TargetGroupArn": arn}


def _target_group_delete(_arn: str, properties: Properties) -> None:
    _call("DeregisterDBProxyTargets", **_targets(properties))


def _endpoint_attributes(name: str) -> dict[str, str]:
    endpoint = rds._db_proxy_endpoints[name]
    return {key: endpoint[key] for key in ("DBProxyEndpointArn", "Endpoint", "VpcId")}


def _endpoint_create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    _call("CreateDBProxyEndpoint", **properties)
    name = properties["DBProxyEndpointName"]
    rds._db_proxy_endpoints[name]["Endpoint"] = f"{name}.{ZONE}".lower()
    return name, _endpoint_attributes(name)


def _endpoint_update(name: str, old: Properties, new: Properties, _stack: str) -> Created:
    fixed = ("DBProxyEndpointName", "DBProxyName", "TargetRole", "VpcSubnetIds")
    refuse_replacement("AWS::RDS::DBProxyEndpoint", old, new, *fixed)
    changes = only(new, "VpcSecurityGroupIds")
    _call("ModifyDBProxyEndpoint", DBProxyEndpointName=name, **changes)
    return name, _endpoint_attributes(name)


def _endpoint_delete(name: str, _properties: Properties) -> None:
    _call("DeleteDBProxyEndpoint", DBProxyEndpointName=name)


def _name(kind: str, physical_id: str) -> dict[str, str]:
    """Give a server its names in ZONE, and return the attributes that tell them."""
    own = f"{physical_id}.{ZONE}"
    if kind == INSTANCE:
        rds._instances[physical_id]["Endpoint"]["Address"] = own
        return {"Endpoint.Address": own}
    readers = f"{physical_id}-readers.{ZONE}"
    rds._clusters[physical_id] |= {"Endpoint": own, "ReaderEndpoint": readers}
    return {"Endpoint.Address": own, "ReadEndpoint.Address": readers}


def _server(kind: str, password: str) -> Mapping[str, Any]:
    """Return the emulator's own handlers, with the secret that ManageMasterUserPassword makes.

    Its password is the one of the PostgreSQL that stands for the server.
    """
    own = provisioners._RESOURCE_HANDLERS[kind]
    made: dict[str, tuple[str, Properties]] = {}

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        physical_id, attributes = own["create"](logical_id, properties, stack)
        attributes |= _name(kind, physical_id)
        if properties.get("ManageMasterUserPassword") in (True, "true"):
            value = {"username": properties["MasterUsername"], "password": password}
            secret = {"Name": f"rds!{physical_id}", "SecretString": json.dumps(value)}
            arn, _ = secrets.create(f"{logical_id}Secret", secret, stack)
            made[physical_id] = arn, secret
            attributes["MasterUserSecret.SecretArn"] = arn
        return physical_id, attributes

    def update(
        physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> Created:
        found, attributes = own["update"](physical_id, old, new, stack, logical_id)
        if found != physical_id:
            raise Refused(f"{kind}: {physical_id} would be replaced")
        if physical_id in made:
            attributes["MasterUserSecret.SecretArn"] = made[physical_id][0]
        return found, attributes

    def delete(physical_id: str, properties: Properties) -> None:
        own["delete"](physical_id, properties)
        if physical_id in made:
            secrets.delete(*made.pop(physical_id))

    return {**own, "create": create, "update": update, "delete": delete}


def handlers(password: str) -> dict[str, Mapping[str, Any]]:
    """Return what is taught; `password` is the administrator's on the server behind."""
    return {
        "AWS::RDS::DBProxy": {
            "create": _proxy_create,
            "update": _proxy_update,
            "delete": _proxy_delete,
        },
        "AWS::RDS::DBProxyTargetGroup": {
            "create": _target_group_create,
            "update": _target_group_update,
            "delete": _target_group_delete,
        },
        "AWS::RDS::DBProxyEndpoint": {
            "create": _endpoint_create,
            "update": _endpoint_update,
            "delete": _endpoint_delete,
        },
        **{kind: _server(kind, password) for kind in (INSTANCE, CLUSTER)},
    }
