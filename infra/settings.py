"""Settings: broker.toml's [deploy] and the CDK's context, checked before anything is made."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from broker.plan import BadDeployment, Deployment, Plan, make_plan, read
from broker.plan.deployment import Flavour
from broker.plan.nearest import nearest
from broker.plan.prices import Prices
from broker.plan.reading import Section

from .database_settings import (
    EXISTING,
    NEW,
    SECRET_ARN,
    ExistingDatabase,
    NewDatabase,
    read_database,
)
from .options import BUNDLED, Auth, Options
from .roles import Watchers, roles
from .sizing import sizing
from .vpc_settings import VPC, ExistingVpc, NewVpc, read_vpc
from .watch_settings import WATCH, read_watch

CONTEXT = ("config", "flavour", "image", "rds_ca")
DEPLOY = (
    "name",
    "region",
    "auth",
    "image",
    "certificate_secret",
    "certificate_host",
    "certificate_record",
    "powertools",
    "vpc",
    "database",
    *WATCH,
)
OF_MAKE_DEPLOY = ("name", "region", "vpc", "database")
HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
LAYER_ARN = re.compile(r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the stack is made from."""

    name: str
    region: str | None
    plan: Plan
    options: Options
    vpc: NewVpc | ExistingVpc
    database: NewDatabase | ExistingDatabase


def read_settings(context: Mapping[str, Any], root: Path) -> Settings:
    """Read the context and the file that it names; `root` is where relative paths begin.

    Raises BadDeployment in one line, or DoesNotFit with the plan's own words.
    """
    _refuse_misspelt(context)
    path = root / str(context.get("config", "broker.toml"))
    deployment = read(path)
    if "flavour" in context:
        deployment = _with_flavour(deployment, str(context["flavour"]))
    section = _deploy(path)
    plan = make_plan(deployment)
    options = _options(section, deployment, context)
    _check(plan, options)
    vpc = read_vpc(section.table("vpc", VPC), deployment.middle.flavour)
    database = read_database(section.table("database", [*NEW, *EXISTING]), deployment, options)
    if isinstance(database, ExistingDatabase) and isinstance(vpc, NewVpc):
        raise section.wrong("vpc", "missing; an existing database is in a VPC: give its id, too")
    return Settings(
        name=_name(section),
        region=_region(section, deployment),
        plan=plan,
        options=options,
        vpc=vpc,
        database=database,
    )


def read_options(path: Path | str) -> Options:
    """Return what the file's [deploy] says of the broker itself, for a CDK app of one's own.

    Raises BadDeployment in one line: for what such an app says itself, too.
    """
    deployment = read(path)
    section = _deploy(Path(path))
    for key in OF_MAKE_DEPLOY:
        if key in section:
            raise section.wrong(key, "an app of your own says that itself: leave it out")
    return _options(section, deployment, {})


def _deploy(path: Path) -> Section:
    values = tomllib.loads(path.read_text("utf-8")).get("deploy", {})
    return Section(str(path), "deploy", values, DEPLOY)


def _check(plan: Plan, options: Options) -> None:
    """Refuse what the plan allows and what it is deployed to has not."""
    watch = options.watch
    roles(plan, Watchers.of("", monitor=watch.monitor_role, reaper=watch.reaper_role), {})
    if plan.deployment.middle.flavour is Flavour.PGBOUNCER:
        sizing(plan)


def _refuse_misspelt(context: Mapping[str, Any]) -> None:
    """Refuse what was meant for one of ours; other keys are other people's."""
    for key in context:
        if key not in CONTEXT and key.lower().replace("-", "_") in {*CONTEXT, "flavor"}:
            raise BadDeployment(f"-c {key}: unknown; did you mean -c {nearest(key, CONTEXT)}?")


def _with_flavour(deployment: Deployment, text: str) -> Deployment:
    known = [flavour.value for flavour in Flavour]
    if text not in known:
        near = nearest(text, known)
        raise BadDeployment(
            f"-c flavour={text}: must be one of {', '.join(known)}; did you mean {near}?"
        )
    return replace(deployment, middle=replace(deployment.middle, flavour=Flavour(text)))


def _name(section: Section) -> str:
    name = section.text("name", "broker", example="orders-broker")
    if not STACK_NAME.fullmatch(name):
        raise section.wrong(
            "name", 'is a stack\'s name: letters, digits and -, for example name = "orders-broker"'
        )
    return name


def _region(section: Section, deployment: Deployment) -> str | None:
    if "region" not in section:
        return None
    region = section.text("region", example="eu-west-1")
    prices, known = deployment.prices, Prices()
    renamed = replace(prices, region=known.region, as_of=known.as_of) == known
    if region != prices.region or (region != known.region and renamed):
        raise section.wrong(
            "region",
            f"the plan has prices of {known.region if renamed else prices.region} only: give "
            f'[prices] region = "{region}" and what it costs there',
        )
    return region


def _options(section: Section, deployment: Deployment, context: Mapping[str, Any]) -> Options:
    flavour = deployment.middle.flavour
    auth = section.choice("auth", Auth, Auth.SECRET)
    if auth is Auth.IAM and flavour is Flavour.PGBOUNCER:
        raise section.wrong(
            "auth", 'PgBouncer knows no IAM: leave it out, or broker.flavour = "rds-proxy"'
        )
    image = section.text("image", example="…/pgbouncer:1.24.1") if "image" in section else None
    secret = host = None
    if "certificate_secret" in section:
        secret = section.text("certificate_secret", example="arn:aws:secretsmanager:…")
        if not SECRET_ARN.fullmatch(secret):
            raise section.wrong("certificate_secret", "must be a secret's whole ARN")
        host = section.text("certificate_host", example="pooler.example.internal")
        if not HOST_NAME.fullmatch(host):
            raise section.wrong(
                "certificate_host", 'must be a whole name, as "pooler.example.internal"'
            )
    else:
        for key in ("certificate_host", "certificate_record"):
            if key in section:
                raise section.wrong(key, "needs certificate_secret, which holds the host's name")
    powertools = section.text("powertools", BUNDLED, example=BUNDLED)
    if powertools != BUNDLED and not LAYER_ARN.fullmatch(powertools):
        raise section.wrong("powertools", f'must be "{BUNDLED}" or the ARN of a layer\'s version')
    return Options(
        auth=auth,
        image=str(context.get("image", "")) or image,
        certificate_secret=secret,
        certificate_host=host,
        certificate_record=section.flag("certificate_record", True),
        powertools=powertools,
        rds_ca=str(context.get("rds_ca", "")) or None,
        watch=read_watch(section),
        file=deployment.file,
    )
