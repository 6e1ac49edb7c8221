"""Search for bytes that a parser answers with an error that is not its own, guided by coverage.

``make fuzz TARGET=stream FUZZ_SECONDS=60`` runs this. Inputs that reach new code go to the target's
corpus, which ``test_corpus.py`` replays; what breaks a parser stays beside as ``crash-...``.
"""

from __future__ import annotations

import os
import sys
import warnings

import atheris

# The entropy decoder too is searched as Python: compiled, it would show no coverage.
os.environ["NUMBA_DISABLE_JIT"] = "1"

_PACKAGES = ["ugicm_codec", "ugicm_decoder", "ugicm_servicekit", "PIL"]
with atheris.instrument_imports(include=_PACKAGES):
    from tests.fuzz.targets import CORPUS, TARGETS, run_target


def main() -> None:
    target, *options = sys.argv[1:]
    if target not in TARGETS:
        sys.exit(f"a target is one of {', '.join(TARGETS)}, got {target!r}")
    warnings.simplefilter("ignore")
    arguments = [sys.argv[0], str(CORPUS / target), "-max_len=4096", *options]
    atheris.Setup(arguments, lambda data: run_target(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
