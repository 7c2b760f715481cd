"""Queries: what is asked of the logs again and again, saved in CloudWatch Logs Insights.

EMF has each value in a list, and Insights calls its first item NAME.0.
"""

from __future__ import annotations

from aws_cdk import aws_logs as logs
from constructs import Construct

TOP_APPLICATIONS = """fields @timestamp, application
| filter ispresent(SessionsByApplication.0)
| stats max(SessionsByApplication.0) as most, avg(SessionsByApplication.0) as mean by application
| sort most desc
| limit 20"""
WHO_WAS_REAPED = """fields @timestamp, verdict, application, role, database, idle_s, request_id
| filter ispresent(verdict)
| sort @timestamp desc
| limit 200"""
RETRIES_BY_CAUSE = """fields function, reason
| filter ispresent(TooManyConnections.0) or ispresent(ConnectRetries.0)
      or ispresent(TransactionRetries.0) or ispresent(reason)
| stats sum(TooManyConnections.0) as too_many_connections,
        sum(ConnectRetries.0) as connect_retries,
        sum(TransactionRetries.0) as transaction_retries,
        sum(SessionsReplaced.0) as sessions_replaced by function, reason
| sort connect_retries desc"""


class Queries(Construct):
    """The saved queries; the functions' own logs are chosen when the query is run."""

    def __init__(self, scope: Construct, id: str, *, folder: str) -> None:
        super().__init__(scope, id)
        self._folder = folder
        self.save("Retries", "Retries by cause", RETRIES_BY_CAUSE)

    def of_monitor(self, group: logs.ILogGroup) -> None:
        """Save what is asked of the monitor's logs."""
        self.save("TopApplications", "Top applications by sessions", TOP_APPLICATIONS, group)

    def of_reaper(self, group: logs.ILogGroup) -> None:
        """Save what is asked of the reaper's logs."""
        self.save("Reaped", "Who was reaped", WHO_WAS_REAPED, group)

    def save(self, id: str, title: str, query: str, group: logs.ILogGroup | None = None) -> None:
        """Save one query, in the folder."""
        logs.CfnQueryDefinition(
            self,
            id,
            name=f"{self._folder}/{title}",
            query_string=query,
            log_group_names=[group.log_group_name] if group else None,
        )
