"""SQLAlchemy's own suite for third-party dialects; tests/integration/test_sqlalchemy_suite.py runs it."""
