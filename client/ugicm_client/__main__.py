"""``python -m ugicm_client`` is the ``ugicm`` command."""

import sys

from ugicm_client.commands.main import main

sys.exit(main())
