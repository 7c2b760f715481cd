"""Observe: a server's activity → a snapshot → findings, and the reaper's verdicts."""
