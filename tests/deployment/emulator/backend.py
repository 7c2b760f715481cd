"""Calls to the emulator's own backends by the names of AWS' actions, from inside its process.

A CloudFormation handler runs on the emulator's event loop, so that it cannot call its own port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any
from xml.etree.ElementTree import Element, fromstring

Properties = Mapping[str, Any]
Created = tuple[str, dict[str, str]]
"""What Ref gives, and what Fn::GetAtt gives."""


class Refused(Exception):
    """The backend answered with an error, as AWS would. The text is its own."""


def call(service: ModuleType, action: str, parameters: Properties, *, lists: str = "") -> Element:
    """Call an action of the AWS Query protocol and return its answer; Refused if it is an error.

    `lists` is what the service puts before the number of an item: ".member", or nothing for EC2.
    """
    query = dict(_flat(parameters, "", lists))
    status, _headers, body = service._ACTION_MAP[action](query)
    if status >= 400:
        raise Refused(f"{action}: {bytes(body).decode()}")
    return fromstring(body)


def _flat(value: Any, name: str, lists: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key, lists)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value, 1):
            yield from _flat(item, f"{name}{lists}.{number}", lists)
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif value is not None:
        yield name, str(value)


def text(answer: Element, tag: str) -> str:
    """Return the first text under this tag, whatever the namespace."""
    for element in answer.iter():
        if element.tag.rpartition("}")[2] == tag and element.text:
            return element.text
    raise Refused(f"the answer has no {tag}")


def only(properties: Properties, *names: str) -> dict[str, Any]:
    """Return those of the properties that are there."""
    return {name: properties[name] for name in names if name in properties}


def refuse_replacement(kind: str, old: Properties, new: Properties, *names: str) -> None:
    """Refuse an update that CloudFormation would make a replacement: nothing here may be one."""
    changed = [name for name in names if old.get(name) != new.get(name)]
    if changed:
        raise Refused(f"{kind}: {', '.join(changed)} would replace the resource")
