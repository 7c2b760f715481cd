"""The local stack: real Postgres, real PgBouncer and a fleet of real Lambda runtimes."""
