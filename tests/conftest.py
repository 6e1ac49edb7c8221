import os
import signal

from hypothesis import settings

# Tests' processes share the processors. OpenMP's threads would spin while they wait for each other,
# and so keep those they wait for from running: seven times the time. Read as PyTorch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A busy machine is no failure; pytest-timeout ends what hangs.
settings.register_profile("ugicm", deadline=None)
settings.load_profile("ugicm")

# A shell's background jobs ignore interrupts, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
