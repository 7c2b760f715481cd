"""Layer: the library and its driver, for every Python and processor that Lambda has."""

from __future__ import annotations

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

import broker

from . import places
from .bundling import asset
from .options import BUNDLED
from .package import Package

LOCAL = ("cli", "local", "pgbouncer", "plan", "simulate", "observe")
"""Parts of the library that a handler never loads."""
DRIVER = ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")
POWERTOOLS = ("aws-lambda-powertools", "jmespath", "typing-extensions")
RUNTIMES = (
    lambda_.Runtime.PYTHON_3_11,
    lambda_.Runtime.PYTHON_3_12,
    lambda_.Runtime.PYTHON_3_13,
    lambda_.Runtime.PYTHON_3_14,
)
RDS_CA = "broker/rds-ca.pem"
RDS_CA_IN_FUNCTION = f"/opt/{RDS_CA}"


def layer_package(powertools: str, ca: str) -> Package:
    """Return what the layer holds; all of it is pure Python."""
    bundled = POWERTOOLS if powertools == BUNDLED else ()
    return Package(
        folders={"broker": places.LIBRARY},
        texts={RDS_CA: ca},
        pure=(*DRIVER, *bundled),
        under="python",
        without=LOCAL,
    )


class Layer(lambda_.LayerVersion):
    """pg8000 and broker, Powertools as well if it is bundled, and RDS' authorities."""

    def __init__(self, scope: Construct, id: str, *, powertools: str, ca: str) -> None:
        super().__init__(
            scope,
            id,
            code=asset(layer_package(powertools, ca), places.LIBRARY),
            description=f"lambda-pg-broker {broker.__version__} and pg8000",
            compatible_runtimes=list(RUNTIMES),
            compatible_architectures=[lambda_.Architecture.ARM_64, lambda_.Architecture.X86_64],
        )
