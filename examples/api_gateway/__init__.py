"""An HTTP API whose clients are told what became of their request, and whether to send it again."""
