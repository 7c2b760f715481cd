"""The secrets that the provisioner reads and writes, in Secrets Manager."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

NOTHING_YET = "ResourceNotFoundException"  # a secret that CloudFormation made has no version


class Vault:
    """Reads and writes whole secrets; `client` is boto3's for Secrets Manager."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def text(self, arn: str) -> str:
        """Return what is in a secret."""
        text: str = self._client.get_secret_value(SecretId=arn)["SecretString"]
        return text

    def read(self, arn: str) -> dict[str, Any]:
        """Return the JSON object that is in a secret; empty where there is nothing, or none."""
        try:
            value = json.loads(self.text(arn))
        except ClientError as error:
            if error.response["Error"]["Code"] != NOTHING_YET:
                raise
            self._client.describe_secret(SecretId=arn)  # raises where the secret itself is missing
            return {}
        except ValueError:  # what CloudFormation's GenerateSecretString left
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, arn: str, text: str) -> None:
        """Make this the secret's current version."""
        self._client.put_secret_value(SecretId=arn, SecretString=text)
