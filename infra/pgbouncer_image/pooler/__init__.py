"""What runs in the pooler's container besides PgBouncer, on Python's standard library alone."""
