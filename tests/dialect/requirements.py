"""What the dialect can do, as SQLAlchemy's suite asks for it."""

from sqlalchemy.testing.requirements import SuiteRequirements


class Requirements(SuiteRequirements):
    pass
