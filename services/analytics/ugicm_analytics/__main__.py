"""``python -m ugicm_analytics``."""

import sys

from ugicm_analytics.main import main

sys.exit(main())
