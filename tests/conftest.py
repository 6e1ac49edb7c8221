import signal

from hypothesis import settings

# A busy machine is no failure; pytest-timeout ends what hangs.
settings.register_profile("ugicm", deadline=None)
settings.load_profile("ugicm")

# A shell's background jobs ignore interrupts, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
