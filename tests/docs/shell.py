"""The commands in a block of code, as a shell would read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from .pages import Block

PROMPT = "$ "
ENDS_A_COMMAND = {"|", "&&", ";", "||"}
REDIRECTS = {">", ">>", "<"}
ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Shown:
    """A line that a reader types, and what the page says that it printed."""

    line: str
    output: str


def shown(block: Block) -> list[Shown]:
    """Return the commands of a block with prompts, or without them the lines of a script."""
    if not block.first.startswith(PROMPT):
        joined = block.text.replace("\\\n", " ")
        return [Shown(line, "") for line in joined.splitlines() if line and line[0] != "#"]
    found = []
    for part in re.split(rf"^{re.escape(PROMPT)}", block.text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        found.append(Shown(line, output))
    return found


def commands(line: str) -> Iterator[list[str]]:
    """Yield each command of the line with its arguments, and nothing of the shell's own."""
    line = re.sub(
        r'"\$\(.*\)"', "ANSWER", line
    )  # of a command within, all of them others' programs
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in lexer:
        if word in ENDS_A_COMMAND:
            yield words
            words = []
        elif skip or word in REDIRECTS:
            skip = word in REDIRECTS
        elif words or not ASSIGNMENT.match(word):
            words.append(word)
    if words:
        yield words
