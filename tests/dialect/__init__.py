"""SQLAlchemy's own suite for dialects; tests/integration/test_sqlalchemy_suite.py runs it."""
