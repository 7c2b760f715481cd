"""What is done for each type of resource. The one place that makes clients and brokers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broker import Broker, BrokerError, Settings
from broker.settings import PEM_BEGINS, Flavour, Tls

from . import certificate, roles
from .answer import Answer
from .certificate import Certificate
from .refusal import NotGranted, Refused
from .request import CREATE, DELETE, ROLES, UPDATE, Request
from .server import Server
from .vault import Vault
from .wanted import Role, Wanted, roles_of

RDS_CA = "rds-ca.pem"  # beside the code, in the zip
MARGIN_S = 8.0  # of the function's time, in which the database is left alone


@dataclass(frozen=True)
class Resources:
    """Carries requests out, within what the invocation has left."""

    context: Any
    vault: Vault
    task_root: Path

    @classmethod
    def of(cls, context: Any) -> Resources:
        """Return those of this function, with clients of its own region."""
        import boto3  # type: ignore[import-untyped]  # the runtime's
        from botocore.config import Config  # type: ignore[import-untyped]

        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3})
        client = boto3.session.Session().client("secretsmanager", config=config)
        return cls(context, Vault(client), Path(os.environ.get("LAMBDA_TASK_ROOT", ".")))

    def carry_out(self, request: Request) -> Answer:
        """Return the answer; raises what a failed one is made of."""
        types: Mapping[str, Callable[[Request], Answer]] = {
            ROLES: self._roles,
            certificate.OF: self._certificate,
        }
        act = types.get(request.resource_type)
        if act is None or request.kind not in (CREATE, UPDATE, DELETE):
            raise Refused(
                f"{request.kind} of {request.resource_type} is none of Create, Update, Delete of "
                f"{' or '.join(types)}"
            )
        return act(request)

    def renew(self, properties: object) -> dict[str, str]:
        """Renew the certificate that these properties describe, if it ends soon."""
        _, why = certificate.make_so(Certificate.read(properties), self.vault, datetime.now(UTC))
        return {"renewed": why.value if why else ""}

    def make_roles_so(self, properties: object) -> dict[str, str]:
        """Make the roles that these properties describe so again, after a secret has changed.

        The answer tells also what was refused once they had their passwords.
        """
        if not isinstance(properties, Mapping):
            raise Refused("Roles: must be the properties of a Custom::BrokerRoles")
        wanted = Wanted.read(properties)
        refused = ""
        try:
            self._make_so(wanted, before=wanted.roles)
        except NotGranted as refusal:  # tasks and functions need to know of the passwords
            refused = str(refusal)
            roles.log.error("%s", refused)
        names = ", ".join(role.name for role in wanted.roles)
        return {"roles": names, "refused": refused}

    def _certificate(self, request: Request) -> Answer:
        if request.kind == DELETE:  # the stack deletes its secrets itself
            return Answer()
        wanted = Certificate.read(request.properties)
        ca, _ = certificate.make_so(wanted, self.vault, datetime.now(UTC))
        return Answer(data={"CaPem": ca})

    def _roles(self, request: Request) -> Answer:
        if request.undoes_failure:
            try:
                return self._act_on_roles(request)
            except (Refused, BrokerError) as error:
                roles.log.warning("nothing could be taken away after a failed Create: %s", error)
                return Answer()
        return self._act_on_roles(request)

    def _act_on_roles(self, request: Request) -> Answer:
        wanted = Wanted.read(request.properties)
        if request.kind == DELETE:
            with self._server(wanted) as server:
                roles.take_away(wanted.roles, server)
        else:
            self._make_so(wanted, before=roles_of(request.before))
        return Answer()

    def _make_so(self, wanted: Wanted, before: tuple[Role, ...]) -> None:
        with self._server(wanted) as server:
            roles.make_so(wanted, before, server, self.vault.text)

    def _server(self, wanted: Wanted) -> Server:
        return Server(lambda database: self._broker(wanted, database))

    def _broker(self, wanted: Wanted, database: str) -> Broker:
        tls, ca = self._tls(wanted.tls_ca)
        db = Broker(
            Settings(
                wanted.host,
                database,
                port=wanted.port,
                secret_arn=wanted.admin_secret_arn,
                flavour=Flavour.DIRECT,
                tls=tls,
                tls_ca=ca,
                margin_s=MARGIN_S,
                application_name="broker-provisioner",
            )
        )
        db.begin_invocation(self.context)  # its deadline bounds every statement
        return db

    def _tls(self, ca: str) -> tuple[Tls, str | None]:
        if ca == "off":
            return Tls.OFF, None
        if ca == "rds":
            return Tls.VERIFY_FULL, str(self.task_root / RDS_CA)
        if ca.startswith(PEM_BEGINS):
            return Tls.VERIFY_FULL, ca
        raise Refused(
            f"Custom::BrokerRoles: TlsCa={ca[:40]!r} must be rds, or a certificate in PEM"
        )
