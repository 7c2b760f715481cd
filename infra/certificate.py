"""Certificate: the pooler's, brought by the user or made by the provisioner under its own CA."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from .acknowledge import acknowledge
from .options import Options
from .provisioner import Provisioner

RENEWED = "The provisioner renews it every day that it must be, under the CA that it made."


@dataclass(frozen=True)
class Certificate:
    """The secret that tasks read, the CA in PEM that functions trust, and the name in it."""

    secret: secretsmanager.ISecret
    ca: str
    host: str
    ready: IDependable


def make_certificate(
    scope: Construct, options: Options, provisioner: Provisioner, dns_name: str
) -> Certificate:
    """Use the one that the user brought, or let the provisioner make one for `dns_name`."""
    if options.certificate_secret is not None:
        brought = secretsmanager.Secret.from_secret_complete_arn(
            scope, "Certificate", options.certificate_secret
        )
        # An authority's certificate is no secret: every client is shown it.
        ca = brought.secret_value_from_json("ca").unsafe_unwrap()
        return Certificate(brought, ca, options.certificate_host or dns_name, brought)
    secret = _secret(scope, "Certificate", "The poolers' certificate and its key")
    authority = _secret(scope, "Authority", "The key of the poolers' own authority")
    made = provisioner.make_certificate(secret, authority, [dns_name])
    return Certificate(secret, made.get_att_string("CaPem"), dns_name, made)


def _secret(scope: Construct, id: str, description: str) -> secretsmanager.Secret:
    """Return a secret that the provisioner fills."""
    secret = secretsmanager.Secret(scope, id, description=description)
    acknowledge(secret, "AwsSolutions-SMG4", reason=RENEWED)
    return secret
