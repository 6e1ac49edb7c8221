"""``python -m ugicm_decoder``."""

import sys

from ugicm_decoder.main import main

sys.exit(main())
