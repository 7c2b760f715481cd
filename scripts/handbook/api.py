"""The page of what Python code may call: read out of the source, where it is documented."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from handbook.root import ROOT

Function = ast.FunctionDef
HIDDEN = ("", "/", "*unnamed: Any")  # the last is there to be refused by name
LINE = 78  # of a signature; a longer one has an argument a line


@dataclass(frozen=True)
class Entry:
    """A name that is public, and where it is; of a class, the members that are, too."""

    name: str
    file: str
    members: tuple[str, ...] = ()
    made: bool = False
    """Whether its constructor is for others to call."""
    home: str = ""
    """The package that hands it on; empty for what is only ever returned."""


PAGE = {
    "The broker": (
        Entry(
            "Broker",
            "broker/broker.py",
            ("from_env", "run", "transaction", "retry", "session", "handler", "stats", "close"),
            home="broker",
        ),
        Entry("Transaction", "broker/transaction.py", ("run", "run_many")),
        Entry(
            "Result",
            "broker/result.py",
            ("columns", "row_count", "dicts", "one", "scalar"),
            home="broker",
        ),
        Entry(
            "ExclusiveSession",
            "broker/exclusive.py",
            ("run", "prepare", "columns", "row_count", "notices", "notifications"),
        ),
        Entry("Stats", "broker/stats.py"),
        Entry(
            "Deadline",
            "broker/deadline.py",
            ("after", "never", "remaining_s", "passed"),
            home="broker",
        ),
        Entry("Settings", "broker/settings.py", ("from_env",), home="broker"),
    ),
    "Values": (
        Entry("Json", "broker/types/wrappers.py", made=True, home="broker"),
        Entry("Interval", "broker/types/interval.py", made=True, home="broker"),
        Entry("Range", "broker/types/range.py", made=True, home="broker"),
        Entry("Multirange", "broker/types/range.py", made=True, home="broker"),
        Entry(
            "Converters",
            "broker/types/converters.py",
            ("with_result", "with_parameter"),
            home="broker",
        ),
    ),
    "Other faces": (
        Entry("connect", "broker/dbapi/connection.py", home="broker.dbapi"),
        Entry(
            "Connection", "broker/dbapi/connection.py", ("cursor", "commit", "rollback", "close")
        ),
        Entry("create_engine", "broker/sqlalchemy/engine.py", home="broker.sqlalchemy"),
    ),
    "The plan": (
        Entry("read", "broker/plan/parse.py", home="broker.plan"),
        Entry("parse", "broker/plan/parse.py", home="broker.plan"),
        Entry("make_plan", "broker/plan/plan.py", home="broker.plan"),
        Entry("Plan", "broker/plan/plan.py", home="broker.plan"),
        Entry("BadDeployment", "broker/plan/reading.py", home="broker.plan"),
        Entry("DoesNotFit", "broker/plan/refusal.py", home="broker.plan"),
    ),
    "The deployment": (
        Entry(
            "ConnectionBroker", "infra/connection_broker.py", ("connect",), made=True, home="infra"
        ),
        Entry("Options", "infra/options.py", home="infra"),
        Entry("WatchSettings", "infra/watch_settings.py", home="infra"),
        Entry("Reaping", "infra/watch_settings.py", home="infra"),
        Entry("Alarming", "infra/watch_settings.py", home="infra"),
        Entry("import_database", "infra/database.py", home="infra"),
    ),
}
"""Explicit, since not every name without an underscore is meant for others."""

INTRODUCTION = """# Python

What a handler, a script or a CDK app may call. The errors are in the
[reference](reference.md#errors), pytest's fixtures in [Test your handlers](testing.md).
"""


def page() -> str:
    """Return the page; raises LookupError for a name that is gone or says nothing of itself."""
    parts = [INTRODUCTION]
    for title, entries in PAGE.items():
        parts.append(f"## {title}\n")
        for entry in entries:
            parts += _described(entry)
    return "\n".join(parts)


def _described(entry: Entry) -> Iterator[str]:
    module = ast.parse((ROOT / entry.file).read_text("utf-8"))
    node = _found(module.body, entry.name, entry.file)
    yield f"### {entry.name}\n"
    if entry.home:
        _refuse_homeless(entry)
        yield _fenced(f"from {entry.home} import {entry.name}")
    if isinstance(node, ast.ClassDef):
        yield _fenced(_class_signature(node, made=entry.made))
        yield _docstring(node, entry.name)
        for member in entry.members:
            inner = _found(node.body, member, f"{entry.file}: {entry.name}")
            yield f"#### {entry.name}.{member}\n"
            if isinstance(inner, Function):
                yield _fenced(_signature(inner, bound=True))
            yield _docstring(inner, f"{entry.name}.{member}")
    elif isinstance(node, Function):
        yield _fenced(_signature(node, bound=False))
        yield _docstring(node, entry.name)


def _refuse_homeless(entry: Entry) -> None:
    """Raise LookupError where the package does not hand it on."""
    tree = ast.parse((ROOT / entry.home.replace(".", "/") / "__init__.py").read_text("utf-8"))
    names = [each.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for each in n.names]
    if entry.name not in names:
        raise LookupError(f"{entry.home} does not hand on {entry.name}, as the page says")


def _found(body: list[ast.stmt], name: str, where: str) -> ast.stmt:
    """Return what is called so in the body; an attribute is the string below its assignment."""
    for at, node in enumerate(body):
        if isinstance(node, (Function, ast.ClassDef)) and node.name == name:
            if any(getattr(each, "id", "") == "overload" for each in node.decorator_list):
                continue
            return node
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for inner, said in zip(node.body, node.body[1:], strict=False):
                if isinstance(inner, ast.Assign) and _assigns(inner, name):
                    return said
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _assigns(node, name):
            return body[at + 1]
    raise LookupError(f"{where} has no {name}, which the page of the API has")


def _assigns(node: ast.Assign | ast.AnnAssign, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(getattr(t, "attr", getattr(t, "id", "")) == name for t in targets)


def _docstring(node: ast.stmt, name: str) -> str:
    text = None
    if isinstance(node, (Function, ast.ClassDef)):
        text = ast.get_docstring(node)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        text = inspect.cleandoc(str(node.value.value))
    if not text:
        raise LookupError(f"{name} says nothing of itself, and is on the page of the API")
    return text.replace("<", "&lt;") + "\n"


def _class_signature(node: ast.ClassDef, *, made: bool) -> str:
    """Return how it is made where others make it, else its fields or its name."""
    if made:
        (init,) = (n for n in node.body if isinstance(n, Function) and n.name == "__init__")
        return _call(node.name, _arguments(init)[1:])
    fields = [
        ast.unparse(n)
        for n in node.body
        if isinstance(n, ast.AnnAssign) and not ast.unparse(n.target).startswith("_")
    ]
    return _call(node.name, fields) if fields else f"class {node.name}"


def _signature(node: Function, *, bound: bool) -> str:
    returns = ast.unparse(node.returns) if node.returns else "None"
    if any(getattr(each, "id", "") == "contextmanager" for each in node.decorator_list):
        returns = returns.replace("Iterator[", "ContextManager[", 1)
    return f"{_call(node.name, _arguments(node)[bound:])} -> {returns}"


def _call(name: str, arguments: list[str]) -> str:
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= LINE:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in arguments), ")"])


def _arguments(node: Function) -> list[str]:
    """Return them as they are written, without the mark of the positional ones."""
    text, found, depth, begin = ast.unparse(node.args), [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(text[begin:at].strip())
            begin = at + 1
    return [each for each in [*found, text[begin:].strip()] if each not in HIDDEN]


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```\n"
