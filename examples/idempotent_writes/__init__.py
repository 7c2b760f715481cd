"""A write that happens once, however often it is asked for."""
