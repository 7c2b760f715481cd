"""The same handler on each client, in the real Lambda runtime client, against real servers."""

from benchmarks.application.measured import FULL, QUICK, Effort, measure, steps

__all__ = ["FULL", "QUICK", "Effort", "measure", "steps"]
