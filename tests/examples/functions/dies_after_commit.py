"""The example, in an environment that dies between its commit and its answer."""

import os
import sys

sys.path.insert(0, os.environ["EXAMPLE"])
import handler as example  # type: ignore[import-not-found]


def handler(event, context):
    example.handler(event, context)
    os._exit(1)
