"""The deployment's own functions. Each folder is a zip's content; they import broker."""
