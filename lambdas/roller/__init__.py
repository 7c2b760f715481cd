"""The roller."""
