"""DatabaseSettings: [deploy.database], a new database or one that is there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.plan import BadDeployment, Deployment
from broker.plan.deployment import Engine
from broker.plan.reading import Section

from .options import Auth, Options

NEW = ("version", "readers", "backup_days", "storage", "multi_az")
EXISTING = (
    "kind",
    "identifier",
    "endpoint",
    "reader_endpoint",
    "port",
    "security_group",
    "secret",
    "resource_id",
)
KIND = {Engine.RDS: "instance", Engine.AURORA: "cluster"}
VERSION = re.compile(r"(1[4-9])\.\d{1,2}")
DEFAULT_VERSION = "17.9"
LEAST_STORAGE_BYTES = 20 * 2**30  # gp3's
MOST_READERS = 15  # Aurora's
SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+-[A-Za-z0-9]{6}")


@dataclass(frozen=True, slots=True)
class NewDatabase:
    """A database that the stack makes, keeps and protects from deletion."""

    version: str = DEFAULT_VERSION
    readers: int = 0
    backup_days: int = 7
    storage_gib: int = 20
    multi_az: bool = True

    @property
    def major(self) -> str:
        """The major version, as parameter groups have it."""
        return self.version.partition(".")[0]


@dataclass(frozen=True, slots=True)
class ExistingDatabase:
    """A database that is there: what the broker must know of it."""

    identifier: str
    endpoint: str
    port: int
    security_group: str
    secret: str
    reader_endpoint: str | None = None
    resource_id: str | None = None


def read_database(
    section: Section, deployment: Deployment, options: Options
) -> NewDatabase | ExistingDatabase:
    """Return which database it is; BadDeployment names what is missing or cannot be."""
    engine = deployment.database.engine
    if engine not in KIND:
        raise BadDeployment(
            f'{deployment.file}: database.engine = "{engine.value}": a server of your own cannot '
            f"be deployed, nor {deployment.middle.flavour.value} in front of it; use "
            '"rds-postgresql" or "aurora-postgresql"'
        )
    if any(key in section for key in EXISTING):
        return _existing(section, engine, options)
    return _new(section, deployment)


def _new(section: Section, deployment: Deployment) -> NewDatabase:
    if deployment.database.instance is None:
        raise BadDeployment(
            f"{deployment.file}: database.instance: missing; a new database needs its class, for "
            'example instance = "db.t4g.medium". Or name an existing one in [deploy.database]'
        )
    aurora = deployment.database.engine is Engine.AURORA
    for key, only in (
        ("readers", Engine.AURORA),
        ("storage", Engine.RDS),
        ("multi_az", Engine.RDS),
    ):
        if key in section and deployment.database.engine is not only:
            raise section.wrong(key, f'is for engine = "{only.value}": leave it out')
    version = section.text("version", DEFAULT_VERSION, example=DEFAULT_VERSION)
    if not VERSION.fullmatch(version):
        raise section.wrong(
            "version", f'must be a version of 14 to 19, as version = "{DEFAULT_VERSION}"'
        )
    storage = section.bytes("storage", LEAST_STORAGE_BYTES, example="20 GiB")
    if storage < LEAST_STORAGE_BYTES:
        raise section.wrong("storage", 'must be 20 GiB at least, for example storage = "20 GiB"')
    return NewDatabase(
        version=version,
        readers=section.whole("readers", 1 if aurora else 0, least=0, most=MOST_READERS),
        backup_days=section.whole("backup_days", 7, most=35),
        storage_gib=storage // 2**30,
        multi_az=section.flag("multi_az", True),
    )


def _existing(section: Section, engine: Engine, options: Options) -> ExistingDatabase:
    for key in NEW:
        if key in section:
            raise section.wrong(key, "is for a new database, and this one is there: leave it out")
    kind = section.text("kind", example=KIND[engine])
    if kind != KIND[engine]:
        raise section.wrong(
            "kind", f'must be "{KIND[engine]}", since database.engine = "{engine.value}"'
        )
    if "port" not in section:
        raise section.wrong("port", "missing; for example port = 5432")
    secret = section.text("secret", example="arn:aws:secretsmanager:…:secret:rds!db-…")
    if not SECRET_ARN.fullmatch(secret):
        raise section.wrong("secret", "must be the whole ARN of the administrator's secret")
    if options.auth is Auth.IAM and "resource_id" not in section:
        raise section.wrong(
            "resource_id", 'missing; IAM needs it, for example resource_id = "db-ABCDEFGHIJKL"'
        )
    reader = "reader_endpoint"
    if reader in section and engine is not Engine.AURORA:
        raise section.wrong(reader, "only a cluster has one: leave it out")
    return ExistingDatabase(
        identifier=section.text("identifier", example="orders-db"),
        endpoint=section.text("endpoint", example="orders-db.abc.eu-west-1.rds.amazonaws.com"),
        port=section.whole("port", 5432, most=65_535),
        security_group=section.text("security_group", example="sg-0123456789"),
        secret=secret,
        reader_endpoint=section.text(reader, example="…") if reader in section else None,
        resource_id=section.text("resource_id", example="db-ABC")
        if "resource_id" in section
        else None,
    )
