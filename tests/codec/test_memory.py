from __future__ import annotations

import subprocess
import sys

import pytest

# Counts the pages that the kernel hands out while the same large blocks are used again and again,
# in a thread of its own, as services work.
PROBE = """
import resource, sys, threading
import numpy as np
from ugicm_codec.memory import keep_freed_memory

assert sys.argv[1] == "default" or keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for _ in range(3):
        np.ones(40 * 2**20, np.uint8)

def count():
    work()
    before = faults()
    work()
    print(faults() - before)

thread = threading.Thread(target=count)
thread.start()
thread.join()
"""


def faults(mode: str) -> int:
    probe = [sys.executable, "-c", PROBE, mode]
    return int(subprocess.run(probe, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif("not sys.platform.startswith('linux')", reason="glibc's setting")
def test_freed_blocks_are_used_again_without_the_kernel():
    assert faults("kept") < faults("default") / 10
