"""Custom::BrokerCertificate: the pooler's certificate in its secret, made and renewed."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .certificates import SERVER_DAYS, Pair, Why, is_usable, issue, new_authority, why_new
from .properties import Properties
from .refusal import Refused
from .vault import Vault

log = logging.getLogger("provisioner")

OF = "Custom::BrokerCertificate"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DNS_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
LONGEST_NAME = 253  # RFC 1035, as text


@dataclass(frozen=True)
class Certificate:
    """The certificate that one resource asks for."""

    secret_arn: str
    ca_secret_arn: str
    names: tuple[str, ...]
    renew_days: int

    @classmethod
    def read(cls, properties: object) -> Certificate:
        """Return what the properties say; raises Refused, which names what is wrong."""
        given = Properties(properties, OF)
        names = given.texts("Names")
        for name in names:
            if not DNS_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
                raise Refused(f"{OF}: Names: {name!r} is no DNS name")
        wanted = cls(
            given.text("SecretArn"),
            given.text("CaSecretArn"),
            names,
            given.whole("RenewDays", 1, SERVER_DAYS - 1),  # else it would be renewed every day
        )
        if wanted.secret_arn == wanted.ca_secret_arn:
            raise Refused(f"{OF}: SecretArn and CaSecretArn are the same: tasks read the first")
        return wanted


def make_so(
    wanted: Certificate, vault: Vault, now: datetime, *, name: str = "lambda-pg-broker"
) -> tuple[str, Why | None]:
    """Leave a good certificate in its secret; return the authority's, and why a new one was made.

    The authority is made once and kept: functions trust it by their configuration. Its key is in
    its own secret and nowhere else.
    """
    authority = _authority(wanted, vault, now, name)
    held = vault.read(wanted.secret_arn)
    why = why_new(_pair(held, "certificate"), authority, wanted.names, now, wanted.renew_days)
    if why is None and held.get("ca") == authority.certificate:
        return authority.certificate, None
    made = issue(authority, wanted.names, now)
    told = {"certificate": made.certificate, "key": made.key, "ca": authority.certificate}
    vault.write(wanted.secret_arn, json.dumps(told))
    log.info(
        "issued a certificate for %s: %s", ", ".join(wanted.names), (why or Why.NONE_YET).value
    )
    return authority.certificate, why or Why.OTHER_AUTHORITY


def _authority(wanted: Certificate, vault: Vault, now: datetime, name: str) -> Pair:
    held = _pair(vault.read(wanted.ca_secret_arn), "ca")
    if held is not None:
        if not is_usable(held):
            raise Refused(
                f"{wanted.ca_secret_arn}: what is in it is no authority and its key: restore its "
                "previous version, or empty it for a new authority"
            )
        return held
    made = new_authority(name, now)
    vault.write(wanted.ca_secret_arn, json.dumps({"ca": made.certificate, "key": made.key}))
    log.info("made an authority")
    return made


def _pair(held: dict[str, Any], certificate: str) -> Pair | None:
    """Return a certificate and its key of a secret's, or None where it has neither yet."""
    if certificate not in held and "key" not in held:
        return None
    return Pair(str(held.get(certificate, "")), str(held.get("key", "")))
