"""The fleet-wide cap: one lease in a DynamoDB table for each session."""

from broker.cap.cap import Cap, Lease

__all__ = ["Cap", "Lease"]
