"""Run analytics with an analyzer whose findings a test can foretell, as a process."""

import sys

from tests.analytics.analyzers import Brightness
from ugicm_analytics import main

if __name__ == "__main__":
    main.load_analyzers = lambda _: {"brightness": Brightness()}
    sys.exit(main.main())
