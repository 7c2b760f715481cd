"""Messages of a queue, each written once, of which those that failed go back to it."""
