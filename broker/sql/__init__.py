"""SQL text: its tokens, its parameters, and what a statement does to the session that runs it."""

from broker.sql.hazards import INSTEAD, Hazard
from broker.sql.kind import Kind
from broker.sql.lexer import Style
from broker.sql.script import split
from broker.sql.statement import (
    Statement,
    compile,
    refuse_unnamed,
    refuse_unsafe,
    refuse_without_stream,
    warm_up,
)

__all__ = [
    "INSTEAD",
    "Hazard",
    "Kind",
    "Statement",
    "Style",
    "compile",
    "refuse_unnamed",
    "refuse_unsafe",
    "refuse_without_stream",
    "split",
    "warm_up",
]
