"""What SQLAlchemy's suite wants of a conftest.py, without being one: only its own run loads it."""

import pytest
from sqlalchemy.dialects.postgresql import provision  # noqa: F401  how it cleans up
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: F403

import broker.sqlalchemy  # noqa: F401  registers the dialect

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
