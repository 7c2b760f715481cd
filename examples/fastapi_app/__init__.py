"""A FastAPI application in Lambda, on the broker's sessions."""
