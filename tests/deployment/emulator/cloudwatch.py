"""CloudWatch: alarms on expressions, composites, and the queries saved beside them."""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from .backend import Created, Properties, Refused

ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
QUERY = "AWS::Logs::QueryDefinition"
OWN = provisioners._RESOURCE_HANDLERS[ALARM]
PLACEHOLDER = {"MetricName": "expression", "Namespace": "expression"}
queries: dict[str, Properties] = {}


def _with_expression(made: Created, properties: Properties) -> Created:
    """Give the alarm the expression's metrics in the place of the one that stood for them."""
    if "Metrics" in properties:
        alarm = cloudwatch._alarms[made[0]]
        alarm |= {"Metrics": properties["Metrics"], "MetricName": None, "Namespace": None}
    return made


def _plain(properties: Properties) -> dict[str, Any]:
    """Return the properties as the emulator's own handler takes them."""
    if "Metrics" not in properties:
        return dict(properties)
    return {**{k: v for k, v in properties.items() if k != "Metrics"}, **PLACEHOLDER}


def create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Make an alarm."""
    return _with_expression(OWN["create"](logical_id, _plain(properties), stack), properties)


def update(name: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    """Change it in place."""
    made = OWN["update"](name, _plain(old), _plain(new), stack, logical_id)
    return _with_expression(made, new)


def _composite(name: str, properties: Properties) -> Created:
    status, _headers, body = cloudwatch._put_composite_alarm(
        {}, {**properties, "AlarmName": name}, False, True
    )
    if status >= 400:
        raise Refused(f"PutCompositeAlarm: {bytes(body).decode()}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def _composite_create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = provisioners._physical_name(stack, logical_id, max_len=255)
    return _composite(name, properties)


def _composite_update(name: str, _old: Properties, new: Properties, _stack: str) -> Created:
    return _composite(name, new)


def _composite_delete(name: str, _properties: Properties) -> None:
    cloudwatch._composite_alarms.pop(name, None)


def _query_create(logical_id: str, properties: Properties, stack: str) -> Created:
    """Keep it; nothing here asks the logs."""
    id = provisioners._physical_name(stack, logical_id, max_len=255)
    queries[id] = properties
    return id, {"QueryDefinitionId": id}


def _query_update(id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    queries[id] = new
    return id, {"QueryDefinitionId": id}


def _query_delete(id: str, _properties: Properties) -> None:
    queries.pop(id, None)


HANDLERS: dict[str, dict[str, Any]] = {
    ALARM: {**OWN, "create": create, "update": update},
    COMPOSITE: {
        "create": _composite_create,
        "update": _composite_update,
        "delete": _composite_delete,
    },
    QUERY: {"create": _query_create, "update": _query_update, "delete": _query_delete},
}
