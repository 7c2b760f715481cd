"""Where one flavour is deployed: an emulated account and region, and the servers behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from broker.local.postgres import Postgres
from broker.local.process import free_port
from broker.plan.deployment import Flavour
from tests.deployment.cdk import Cdk, Ran
from tests.deployment.emulated import ACCOUNT, REGION, Emulator
from tests.deployment.rds_iam import ask_for_tokens
from tests.deployment.stack import Stack
from tests.deployment.variant import Variant

APP = ".venv/bin/python -m tests.deployment.app"
OWN_NAME = "pooler.example.internal"
"""The pooler's name where its certificate is brought."""
ZONE = "emulated.us-east-1.rds.amazonaws.com"
BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"


@dataclass(frozen=True)
class Site:
    """An emulator that was bootstrapped, and the PostgreSQL that stands for RDS there."""

    flavour: Flavour
    emulator: Emulator
    postgres: Postgres
    cdk: Cdk
    folder: Path
    pooler_port: int
    """What the load balancer leads to, if anybody listens there."""

    @property
    def stack(self) -> Stack:
        """The stack, whether it is there or not."""
        return Stack(self.emulator, f"broker-{self.flavour.value}")

    def deploy(self, *variants: Variant, **context: str) -> Ran:
        """Run `cdk deploy` with these broker.tomls, a stack each."""
        config = os.pathsep.join(str(variant.path) for variant in variants)
        given = {"config": config, "rds_ca": str(self.postgres.ca_file), **context}
        words = (f"--app={APP}", f"--output={self.assembly}", "--require-approval=never", "--all")
        return self.cdk("deploy", *words, context=given)

    def destroy(self) -> Ran:
        """Run `cdk destroy` on what was synthesized last."""
        return self.cdk("destroy", f"--app={self.assembly}", "--force", "--all")

    @property
    def assembly(self) -> Path:
        """Where the app is synthesized to."""
        return self.folder / "cdk.out"

    def role(self, name: str) -> dict[str, Any]:
        """Return a role as the server has it: its limit, its defaults and its groups."""
        rows = self.postgres.admin(
            """select rolconnlimit, coalesce(rolconfig, '{}'), rolcanlogin,
                      array(select g.rolname::text from pg_auth_members m
                            join pg_roles g on g.oid = m.roleid where m.member = r.oid)
               from pg_roles r where rolname = :name""",
            name=name,
        )
        assert rows, f"the server has no role {name}"
        limit, settings, logs_in, groups = rows[0]
        return {
            "limit": limit,
            "settings": dict(each.split("=", 1) for each in settings),
            "logs_in": logs_in,
            "groups": set(groups),
        }


@contextmanager
def site(flavour: Flavour, folder: Path) -> Iterator[Site]:
    """Start a PostgreSQL and an emulator, and bootstrap it."""
    pooler_port = free_port()
    with Postgres(tls=True, names=[f"*.{ZONE}"]) as postgres:
        behind = {
            ".rds.amazonaws.com": (postgres.host, postgres.port),
            ".elb.amazonaws.com": (postgres.host, pooler_port),
            OWN_NAME: (postgres.host, pooler_port),
        }
        password = unquote(urlsplit(postgres.dsn()).password or "")
        with Emulator(
            database_password=password, names=behind, authorities=postgres.ca_file
        ) as emulator:
            ask_for_tokens(postgres, emulator.login_port)
            cdk = Cdk(flavour.value, emulator, folder)
            cdk.bootstrap(ACCOUNT, REGION).ok()
            # It denies all that comes without TLS, which the emulator's own port does not have.
            emulator.client("s3").delete_bucket_policy(Bucket=BUCKET)
            yield Site(flavour, emulator, postgres, cdk, folder, pooler_port)
