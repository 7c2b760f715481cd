"""PostgreSQL's values as Python's, both ways: every value exactly, or not at all."""

from broker.types.array import Array
from broker.types.converters import Converters
from broker.types.interval import Interval
from broker.types.range import Multirange, Range
from broker.types.wrappers import Json

__all__ = ["Array", "Converters", "Interval", "Json", "Multirange", "Range"]
