"""Makes the database's roles and the pooler's certificate: CloudFormation's custom resources."""
