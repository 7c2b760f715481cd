"""The simulation: a day of a whole fleet under its plan, or its worst minute."""

from broker.simulate.failure import Failure
from broker.simulate.simulation import simulate
from broker.simulate.timeline import Outcome, Span
from broker.simulate.traffic import Burst, Traffic

__all__ = ["Burst", "Failure", "Outcome", "Span", "Traffic", "simulate"]
