"""The example of streaming, with the most memory that one invocation had at once."""

import os
import sys
import tracemalloc

sys.path.insert(0, os.environ["EXAMPLES"])
import streaming.handler as example  # type: ignore[import-not-found]


def handler(event, context):
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    answer = example.to_s3(event, context)
    _, peak = tracemalloc.get_traced_memory()
    return {**answer, "peak": peak - before}
