"""A measuring process that is killed takes its workers with it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Says its worker's number as soon as there is one, and then waits for ever.
PARENT = """
import os, sys, time
from pathlib import Path
from ugicm_evaluation.measuring.plan import Cast
from ugicm_evaluation.measuring.run import workers

if __name__ == "__main__":
    with workers(1, Cast({}, {}, {}, Path(sys.argv[1]), {})) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        time.sleep(1000)
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path / "cache"], stdout=subprocess.PIPE, text=True
    )
    try:
        worker = int(parent.stdout.readline())
        watched = os.pidfd_open(worker)
        assert Path(f"/proc/{worker}").exists()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    # A process' descriptor can be read once it has ended.
    ended, _, _ = select.select([watched], [], [], 60)
    os.close(watched)
    assert ended
