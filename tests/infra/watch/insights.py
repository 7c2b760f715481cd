"""A small evaluator of Logs Insights' query language: what the saved queries use, and no more.

fields, filter (ispresent, or), stats (max, avg, sum) by, sort, limit, as "CloudWatch Logs Insights
query syntax" has them. A log line in JSON is its fields, of which a list's items are NAME.0 and so
on; a field that no line has is an error here, since a query that asks for one finds nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

Line = Mapping[str, Any]
FIELD = r"[@A-Za-z_][\w.]*"
REDUCE: dict[str, Callable[[Sequence[float]], float]] = {"max": max, "avg": fmean, "sum": sum}
OF_ALL = {"@timestamp"}


class Unknown(Exception):
    """The query asks for what no line has, or this evaluator does not know."""


def parsed(text: str) -> Line | None:
    """Return a log line's fields as Insights discovers them; None for what is no JSON.

    Lambda's log begins a line of `logging` with the level, time and request id, separated by tabs:
    Insights discovers the JSON in those as well.
    """
    begin = text.find("{")
    try:
        found = json.loads(text[begin:]) if begin >= 0 else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    fields: dict[str, Any] = {}
    for name, value in found.items():
        items = enumerate(value) if isinstance(value, list) else [("", value)]
        for number, item in items:
            fields[f"{name}.{number}" if number != "" else name] = item
    return fields


def run(query: str, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the query's rows, out of these log lines."""
    lines = [line for line in map(parsed, texts) if line is not None]
    known = {name for line in lines for name in line} | OF_ALL
    rows: list[dict[str, Any]] = [dict(line) for line in lines]
    shown: list[str] = []
    for command in re.split(r"\s*\n\|\s*", " \n".join(query.splitlines())):
        word, _, rest = " ".join(command.split()).partition(" ")
        if word == "fields":
            shown = _known(re.split(r",\s*", rest), known)
        elif word == "filter":
            rows = [row for row in rows if _matches(rest, row, known)]
        elif word == "stats":
            rows = _stats(rest, rows, known)
            shown = list(rows[0]) if rows else []
        elif word == "sort":
            name, _, how = rest.partition(" ")
            _known([name], known | set(shown))
            if name not in OF_ALL:
                rows.sort(key=lambda row: row[name], reverse=how == "desc")
        elif word == "limit":
            rows = rows[: int(rest)]
        else:
            raise Unknown(word)
    return [{name: row.get(name) for name in shown} for row in rows]


def _known(names: Iterable[str], known: Iterable[str]) -> list[str]:
    asked = list(names)
    missing = set(asked) - set(known)
    if missing:
        raise Unknown(f"no line has {', '.join(sorted(missing))}")
    return asked


def _matches(condition: str, row: Line, known: set[str]) -> bool:
    parts = [re.fullmatch(rf"ispresent\(({FIELD})\)", each) for each in condition.split(" or ")]
    if not all(parts):
        raise Unknown(condition)
    names = _known((part[1] for part in parts if part), known)
    return any(name in row for name in names)


def _stats(text: str, rows: list[dict[str, Any]], known: set[str]) -> list[dict[str, Any]]:
    reduced, _, by = text.partition(" by ")
    keys = _known(re.split(r",\s*", by), known)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(key) for key in keys)].append(row)
    asked = []
    for each in re.split(r",\s*", reduced):
        part = re.fullmatch(rf"(\w+)\(({FIELD})\) as (\w+)", each)
        if part is None or part[1] not in REDUCE:
            raise Unknown(each)
        _known([part[2]], known)
        asked.append((REDUCE[part[1]], part[2], part[3]))
    found = []
    for values, members in groups.items():
        row = dict(zip(keys, values, strict=True))
        for reduce, name, title in asked:
            numbers = [member[name] for member in members if name in member]
            row[title] = reduce(numbers) if numbers else 0.0
        found.append(row)
    return found
