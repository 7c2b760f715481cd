"""What the AWS emulator is taught, one family of resources a file. It runs in a venv of its own."""
