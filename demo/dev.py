"""The Dagster UI on the demo's state, with the demo's database server beside it: `make dev`."""

from __future__ import annotations

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from demo.run import STATE
from demo.server import server_of


def main() -> int:
    server = server_of(STATE)
    server.start()
    dagster = os.path.join(os.path.dirname(sys.executable), "dagster")
    try:
        return subprocess.run([dagster, "dev", "-w", "workspace.yaml", *sys.argv[1:]], check=False).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
