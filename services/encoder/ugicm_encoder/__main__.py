"""``python -m ugicm_encoder``."""

import sys

from ugicm_encoder.main import main

sys.exit(main())
