"""Run one service as a child that cannot outlive its parent.

The parent holds the other end of standard input. However it ends, even by SIGKILL, the operating
system closes that end, and the service drains and stops.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from ugicm_client.commands.main import main

_DRAIN_SECONDS = 10.0


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_DRAIN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(main(["serve", *sys.argv[1:]]))
