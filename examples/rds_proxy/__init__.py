"""An example: app.py is the stack, functions/ runs on Lambda, broker.toml is the plan."""
