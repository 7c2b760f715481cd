"""What runs beside the database, as Lambda functions."""
