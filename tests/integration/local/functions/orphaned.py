"""A script that runs a fleet, says which processes it has, and waits to be ended."""

import os
import sys
import time
from pathlib import Path

from broker.local.fleet import Fleet, Function

if __name__ == "__main__":
    here = Path(__file__).parent
    with Fleet() as fleet:
        fleet.deploy(Function(name="orphan", handler="behaviours.handler", code=here, timeout_s=60))
        busy = fleet.submit("orphan", {"do": "wait_for", "path": sys.argv[1] + ".never"})
        fleet.invoke("orphan", {"do": "whoami"}).result()
        pids = [str(one.pid) for one in fleet.environments("orphan")]
        Path(sys.argv[1]).write_text(" ".join([str(os.getpid()), *pids]) + "\n")
        time.sleep(300)
