"""Looks at the database once a minute, and tells CloudWatch how full it is and why."""
