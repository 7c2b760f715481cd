"""broker.toml → Deployment."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from broker.plan import instances
from broker.plan.deployment import (
    CONNECTION_BYTES,
    WORK_MEM_BYTES,
    Application,
    Database,
    Deployment,
    Engine,
    Flavour,
    Kind,
    Middle,
    Pair,
    Reserve,
)
from broker.plan.nearest import nearest
from broker.plan.prices import Prices
from broker.plan.reading import BadDeployment, Section

TOP = ("database", "broker", "functions", "services", "reserved", "account", "prices", "deploy")
DATABASE = [
    "engine",
    "instance",
    "min_acu",
    "max_acu",
    "max_connections",
    "vcpus",
    "memory",
    "shared_buffers",
    "work_mem",
    "memory_per_connection",
]
BROKER = [
    "flavour",
    "tasks",
    "processes",
    "overlap",
    "pairs",
    "active_sessions",
    "pool_size",
    "reserve_pool_size",
    "cap",
    "proxy_minimum_percent",
    "task_vcpu",
    "task_memory",
    "wait",
    "wait_chance",
]
APPLICATION = ["name", "sessions", "overlap", "pair", "rate", "mean", "p99", "timeout"]
SIZE_KEY = {Kind.FUNCTION: "concurrency", Kind.SERVICE: "instances"}
OF_THE_KIND = {
    Kind.FUNCTION: ["concurrency", "processes", *APPLICATION],
    Kind.SERVICE: ["instances", *APPLICATION],
}

MOST_CONNECTIONS = 262_143  # PostgreSQL's own maximum of max_connections
MOST_POOL = 5000  # RDS gives no server more sessions by default
PAIR = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*/[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
NAME_BYTES = 63  # an identifier in PostgreSQL
PGBOUNCER_CONSOLE = "pgbouncer"  # its admin console has this name
LAMBDA_TIMEOUT_S = 900.0


def read(path: Path | str) -> Deployment:
    """Read the file; BadDeployment names the file, the key, the value and the remedy."""
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise BadDeployment(
            f"{path}: {error.strerror}; name the file that describes the deployment, or write one "
            "as docs/plan.md shows"
        ) from None
    except UnicodeDecodeError as error:
        raise BadDeployment(
            f"{path}: is not UTF-8 at byte {error.start}: save it as UTF-8"
        ) from None
    return parse(text, str(path))


def parse(text: str, file: str = "broker.toml") -> Deployment:
    """Return what the text describes."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise BadDeployment(f"{file}: is not TOML: {' '.join(str(error).split())}") from None
    top = Section(file, "", values, TOP)
    if "database" not in top:
        raise top.wrong("database", 'missing; write [database] and instance = "db.m7g.large" in it')
    middle = _middle(top.table("broker", BROKER))
    return Deployment(
        database=_database(top.table("database", DATABASE)),
        middle=middle,
        applications=_applications(top, middle),
        reserves=_reserves(top),
        account_concurrency=top.table("account", ["concurrency"]).whole("concurrency", 1000),
        prices=_prices(top.table("prices", [each.name for each in fields(Prices)])),
        file=file,
        has_deploy="deploy" in top,
    )


def _database(section: Section) -> Database:
    engine = section.choice("engine", Engine, Engine.RDS)
    instance = _instance(section, engine)
    explicit = section.optional_whole("max_connections", most=MOST_CONNECTIONS)
    if instance is None and explicit is None:
        raise section.wrong(
            "max_connections", 'missing; give it, or instance = "db.m7g.large" to derive it from'
        )
    memory = section.optional_bytes("memory", example="8 GiB")
    vcpus = section.optional_whole("vcpus", most=1024)
    shared = section.optional_bytes("shared_buffers", example="2 GiB")
    return Database(
        engine=engine,
        max_connections=explicit or (instance.max_connections if instance else 0),
        max_connections_how="as given"
        if explicit or instance is None
        else instance.max_connections_how,
        instance=instance.name if instance else None,
        vcpus=vcpus or (instance.vcpus if instance else None),
        memory_bytes=memory or (instance.memory_bytes if instance else None),
        shared_buffers_bytes=shared,
        work_mem_bytes=section.bytes("work_mem", WORK_MEM_BYTES, example="4 MiB"),
        memory_per_connection_bytes=section.bytes(
            "memory_per_connection", CONNECTION_BYTES, example="10 MB"
        ),
        burstable=bool(instance and instance.burstable),
        acu=section.real("max_acu", 8, least=1, most=256) if "max_acu" in section else None,
        min_acu=_min_acu(section) if "max_acu" in section else None,
    )


def _instance(section: Section, engine: Engine) -> instances.Instance | None:
    name = section.text("instance", "", example="db.m7g.large") if "instance" in section else ""
    if name == "serverless":
        if engine is not Engine.AURORA:
            raise section.wrong("instance", 'only Aurora has it: engine = "aurora-postgresql"')
        if "max_acu" not in section:
            raise section.wrong("max_acu", "missing; Serverless v2 needs it, for example 16")
        most = section.real("max_acu", 16, least=1, most=256)
        return instances.serverless(_min_acu(section), most)
    for key in ("min_acu", "max_acu"):
        if key in section:
            raise section.wrong(key, 'only for instance = "serverless": leave it out')
    if not name:
        return None
    if engine is Engine.POSTGRESQL:
        raise section.wrong(
            "instance", 'a server of your own has none: leave it out, or engine = "rds-postgresql"'
        )
    if name not in instances.SIZES:
        near = nearest(name, [*instances.SIZES, "serverless"])
        raise section.wrong(
            "instance",
            f"unknown instance class; did you mean {near}? "
            "Or leave it out and give max_connections, vcpus and memory",
        )
    return instances.provisioned(name, aurora=engine is Engine.AURORA)


def _min_acu(section: Section) -> float:
    most = section.real("max_acu", 16, least=1, most=256)
    return section.real("min_acu", 0.5, least=0, most=most)


def _middle(section: Section) -> Middle:
    default = Middle()
    pairs = section.texts("pairs", ["appdb/app"], example="appdb/app")
    if len(set(pairs)) < len(pairs):
        raise section.wrong("pairs", "names a pair twice: name each once")
    return Middle(
        flavour=section.choice("flavour", Flavour, Flavour.PGBOUNCER),
        tasks=section.whole("tasks", default.tasks, most=100),
        processes=section.whole("processes", default.processes, most=64),
        overlap=section.real("overlap", default.overlap, least=1, most=10),
        pairs=tuple(_pair(section, "pairs", pair) for pair in pairs),
        active_sessions=section.optional_whole("active_sessions", most=MOST_POOL),
        pool_size=section.optional_whole("pool_size", most=MOST_POOL),
        reserve_pool_size=section.optional_whole("reserve_pool_size", least=0, most=MOST_POOL),
        cap=section.optional_whole("cap", most=MOST_CONNECTIONS),
        proxy_minimum_percent=section.optional_whole("proxy_minimum_percent", most=100),
        task_vcpu=section.real("task_vcpu", default.task_vcpu, least=0.25, most=16),
        task_memory_bytes=section.bytes("task_memory", default.task_memory_bytes, example="1 GiB"),
        wait_s=section.seconds("wait", default.wait_s, example="100 ms"),
        wait_chance=section.real("wait_chance", default.wait_chance, least=1e-6, most=0.5),
    )


def _pair(section: Section, key: str, text: str) -> Pair:
    database, _, user = text.partition("/")
    if not PAIR.fullmatch(text) or max(len(database), len(user)) > NAME_BYTES:
        raise section.wrong(
            key, 'each is database/user, of letters, digits, _ and -, for example "appdb/app"'
        )
    if database == PGBOUNCER_CONSOLE:
        raise section.wrong(key, "pgbouncer is the name of the pooler's own console: use another")
    return Pair(database, user)


def _applications(top: Section, middle: Middle) -> tuple[Application, ...]:
    found: dict[str, Application] = {}
    for kind, known in OF_THE_KIND.items():
        for section in top.tables(kind.value, known):
            application = _application(section, kind, middle)
            if application.name in found:
                raise section.wrong("name", "is there twice: give each a name of its own")
            found[application.name] = application
    return tuple(found.values())


def _application(section: Section, kind: Kind, middle: Middle) -> Application:
    name = section.text("name", example="orders")
    size_key = SIZE_KEY[kind]
    if size_key not in section:
        raise section.wrong(size_key, f"missing for {name}; for example {size_key} = 100")
    why = "0 switches the function off" if kind is Kind.FUNCTION else ""
    environments = section.whole(size_key, 100, why=why)
    rate, mean = (
        section.rate("rate", 0, example="50 /s"),
        section.seconds("mean", 0, example="5 ms"),
    )
    if bool(rate) != bool(mean):
        raise section.wrong("mean" if rate else "rate", "missing; rate and mean need each other")
    p99 = section.seconds("p99", 0, example="40 ms") or None
    if p99 is not None and (not mean or p99 < mean):
        raise section.wrong("p99", "needs rate and mean, and is not below the mean")
    pair = middle.pairs[0]
    if "pair" in section:
        pair = _pair(section, "pair", section.text("pair", example=str(pair)))
        if pair not in middle.pairs:
            near = nearest(str(pair), map(str, middle.pairs))
            raise section.wrong("pair", f"is not in broker.pairs; did you mean {near}?")
    most = LAMBDA_TIMEOUT_S if kind is Kind.FUNCTION else 86_400.0
    timeout = section.seconds("timeout", 30.0, example="30 s", most=most)
    if timeout < 2:  # statement, queue and margin need a whole second each
        raise section.wrong("timeout", 'must be 2 s at least, for example timeout = "30 s"')
    return Application(
        name=name,
        kind=kind,
        environments=environments,
        processes=section.whole("processes", 1, most=10_000),
        sessions=section.whole("sessions", 1, most=10_000),
        overlap=section.real("overlap", 2, least=1, most=10),
        pair=pair,
        rate_per_s=rate,
        mean_s=mean,
        p99_s=p99,
        timeout_s=timeout,
    )


def _reserves(top: Section) -> tuple[Reserve, ...]:
    found: dict[str, Reserve] = {}
    for section in top.tables("reserved", ["name", "sessions", "reason"]):
        name = section.text("name", example="migrations")
        if name in found:
            raise section.wrong("name", "is there twice: give each a name of its own")
        if "sessions" not in section:
            raise section.wrong("sessions", "missing; for example sessions = 2")
        sessions = section.whole("sessions", 2, least=0, most=MOST_CONNECTIONS)
        found[name] = Reserve(name, sessions, section.text("reason", example="schema changes"))
    return tuple(found.values())


def _prices(section: Section) -> Prices:
    default = Prices()
    values: dict[str, Any] = {}
    for each in fields(Prices):
        known = getattr(default, each.name)
        if isinstance(known, str):
            values[each.name] = section.text(each.name, known, example=known)
        else:
            values[each.name] = section.real(each.name, known, least=0, most=1000)
    return Prices(**values)
