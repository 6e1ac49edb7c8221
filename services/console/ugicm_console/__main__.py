"""``python -m ugicm_console``."""

import sys

from ugicm_console.main import main

sys.exit(main())
