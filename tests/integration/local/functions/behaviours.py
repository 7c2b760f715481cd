"""A handler that does as the event says."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

served = 0


def handler(event, context):
    global served
    served += 1
    return globals()[event.pop("do")](context=context, **event)


def whoami(context):
    return {"pid": os.getpid(), "served": served, "version": context.function_version}


def wait_for(context, path):
    while not Path(path).exists():
        time.sleep(0.02)
    return os.getpid()


def overlap(context, path, hold_s):
    """Fail if this environment is serving anything else."""
    mine = Path(path) / str(os.getpid())
    mine.touch(exist_ok=False)
    time.sleep(hold_s)
    mine.unlink()
    return os.getpid()


def context_of(context):
    return {
        "request_id": context.aws_request_id,
        "name": context.function_name,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "left_ms": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
    }


def beat(context, path):
    def write():
        with Path(path).open("a") as file:
            while True:
                file.write(".")
                file.flush()
                time.sleep(0.005)

    threading.Thread(target=write, daemon=True).start()


def fail(context, message):
    raise ValueError(message)


def leave(context, status):
    os._exit(status)


def spawn(context):
    return subprocess.Popen(["sleep", "600"]).pid


def spawn_and_leave(context, path):
    Path(path).write_text(f"{spawn(context)}\n")
    os._exit(1)


def say(context, lines, text):
    for number in range(lines):
        sys.stdout.write(f"{number} {text}\n")
    sys.stderr.write("and to stderr\n")


def give(context, length):
    return "x" * length
