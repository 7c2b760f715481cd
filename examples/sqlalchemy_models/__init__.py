"""SQLAlchemy's models on the broker's sessions."""
