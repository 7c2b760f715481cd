"""Replaces the pooler's tasks when a secret of theirs has changed."""
