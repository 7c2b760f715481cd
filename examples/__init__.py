"""Stacks of your own that use the broker; docs/deploy.md says how to see their templates."""
