"""A job that a schedule starts: old rows become daily counts, a batch at a time."""
