"""The table of leases: each of a lease's rules as one conditional write.

Partition key `shard` (the cap's name and a number), sort key `slot`. A shard has at most
SHARD_SLOTS slots, so that neither an item nor a partition is hot and one Query reads a shard whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from broker.aws_json import Refused
from broker.cap.dynamodb import Answer, Unanswered
from broker.cap.lease import SKEW_SEEN_S, Item, Terms, is_astray

SHARD_SLOTS = 50  # some 4 KB: one read unit of a strongly consistent Query
HOUSEKEEPING_S = 86_400  # TTL deletes a row this long after its end: no rule depends on it
_CONDITION_FAILED = "ConditionalCheckFailedException"
_PASSING = frozenset(  # AWS: "Error handling with DynamoDB", those to retry
    (
        "ItemCollectionSizeLimitExceededException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionConflictException",
        "ReplicatedWriteConflictException",
    )
)
SCHEMA: Mapping[str, Any] = {  # what CreateTable needs; infra makes the same
    "KeySchema": [
        {"AttributeName": "shard", "KeyType": "HASH"},
        {"AttributeName": "slot", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "shard", "AttributeType": "S"},
        {"AttributeName": "slot", "AttributeType": "N"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
TTL_ATTRIBUTE = "delete_at"


class TableBusy(Exception):
    """Throttled, or no answer: another attempt may do, and is safe with the same token."""


class TableRefused(Exception):
    """No other attempt will do: no table, no permission, or a clock that is wrong."""


class Client(Protocol):
    """What the table needs of DynamoDB."""

    def call(self, target: str, body: Mapping[str, Any], within_s: float) -> Answer:
        """Make one request; raises Refused or Unanswered."""

    def close(self) -> None:
        """Let go of what is kept between requests."""


class LeaseTable:
    """The leases of one cap. A write returns whether its condition held."""

    def __init__(self, client: Client, table: str, terms: Terms) -> None:
        self._client = client
        self._table = table
        self._terms = terms

    def take(self, slot: int, wanted: Item, now_ms: int, within_s: float) -> bool:
        """Put `wanted` in the slot if rule `may_take` lets it."""
        return self._write(
            "PutItem",
            {
                "Item": {**self._key(slot), **_attributes(wanted)},
                "ConditionExpression": "attribute_not_exists(slot) OR expires_ms < :now OR "
                "(lease = :lease AND expires_ms <= :expires)",
                "ExpressionAttributeValues": {
                    ":now": {"N": str(now_ms)},
                    ":lease": {"S": wanted.token},
                    ":expires": {"N": str(wanted.expires_ms)},
                },
            },
            within_s,
        )

    def renew(self, slot: int, wanted: Item, within_s: float) -> bool:
        """Prolong the lease to `wanted` if rule `may_renew` lets it."""
        return self._write(
            "UpdateItem",
            {
                "Key": self._key(slot),
                "UpdateExpression": f"SET expires_ms = :expires, {TTL_ATTRIBUTE} = :delete",
                "ConditionExpression": "lease = :lease AND expires_ms <= :expires",
                "ExpressionAttributeValues": {
                    ":lease": {"S": wanted.token},
                    ":expires": {"N": str(wanted.expires_ms)},
                    ":delete": _attributes(wanted)[TTL_ATTRIBUTE],
                },
            },
            within_s,
        )

    def give_back(self, slot: int, token: str, within_s: float) -> bool:
        """Delete the lease if rule `may_delete` lets it."""
        return self._write(
            "DeleteItem",
            {
                "Key": self._key(slot),
                "ConditionExpression": "lease = :lease",
                "ExpressionAttributeValues": {":lease": {"S": token}},
            },
            within_s,
            check_clock=False,
        )

    def items(self, shard: int, within_s: float) -> dict[int, Item]:
        """Return the shard's rows by slot; they may be a moment old, a write decides."""
        body = self._call(
            "Query",
            {
                "KeyConditionExpression": "shard = :shard",
                "ProjectionExpression": "slot, lease, expires_ms",
                "ExpressionAttributeValues": {":shard": {"S": self._shard(shard)}},
            },
            within_s,
        ).body
        return {
            int(row["slot"]["N"]): Item(row["lease"]["S"], int(row["expires_ms"]["N"]))
            for row in body.get("Items", ())
        }

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _key(self, slot: int) -> dict[str, Any]:
        return {"shard": {"S": self._shard(slot // SHARD_SLOTS)}, "slot": {"N": str(slot)}}

    def _shard(self, number: int) -> str:
        return f"{self._terms.name}#{number}"

    def _write(
        self, target: str, body: dict[str, Any], within_s: float, *, check_clock: bool = True
    ) -> bool:
        try:
            answer = self._call(target, body, within_s)
        except _ConditionFailed:
            return False
        if check_clock:
            _refuse_astray(answer)
        return True

    def _call(self, target: str, body: dict[str, Any], within_s: float) -> Answer:
        try:
            return self._client.call(target, {"TableName": self._table, **body}, within_s)
        except Unanswered as error:
            raise TableBusy(str(error)) from error
        except Refused as error:
            if error.code == _CONDITION_FAILED:
                raise _ConditionFailed from error
            passing = error.code in _PASSING or error.code.startswith("HTTP 5")
            raise (TableBusy if passing else TableRefused)(str(error)) from error


class _ConditionFailed(Exception):
    """The row is not as the condition wants it."""


def _attributes(item: Item) -> dict[str, Any]:
    return {
        "lease": {"S": item.token},
        "expires_ms": {"N": str(item.expires_ms)},
        TTL_ATTRIBUTE: {"N": str(item.expires_ms // 1000 + HOUSEKEEPING_S)},
    }


def _refuse_astray(answer: Answer) -> None:
    """Do not trust a lease whose times come from a wrong clock; its row stays until it expires."""
    if answer.date_s is None:
        raise TableRefused("DynamoDB's answer has no Date, so this machine's clock is unchecked")
    if is_astray(answer.before_s, answer.after_s, answer.date_s, SKEW_SEEN_S):
        off_s = answer.after_s - answer.date_s
        raise TableRefused(f"this machine's clock is {off_s:+.1f} s off DynamoDB's")
