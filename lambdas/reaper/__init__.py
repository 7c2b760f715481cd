"""Ends sessions that idle in transaction for longer than the policy allows; a dry run at first."""
