"""Remove the demo's state, and its server wherever that is: `make clean`. Needs the standard library only."""

from __future__ import annotations

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from backup_platform.sources.postgres.server.account import Account
from demo.server import STATE, Server, homes_of


def main() -> None:
    for home in homes_of(STATE):
        Server(home, Account()).remove()
    shutil.rmtree(STATE, ignore_errors=True)


if __name__ == "__main__":
    main()
