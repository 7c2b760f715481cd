"""Let the comparisons in expected.py say what they compared, as a test's own do."""

import pytest

pytest.register_assert_rewrite("tests.deployment.expected")
