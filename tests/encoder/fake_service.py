"""The encoder's real process with a fake codec: ``python fake_service.py [flags]``."""

from __future__ import annotations

import sys

from tests.fake_codec import FakeCodec
from ugicm_encoder.errors import SpoolUnusable
from ugicm_encoder.main import SERVICE, serve
from ugicm_encoder.settings import EncoderSettings
from ugicm_encoder.status import ENCODER_STATUS
from ugicm_servicekit.models import Models
from ugicm_servicekit.process import run_service


async def body(settings, server):
    await serve(settings, server, Models([FakeCodec()]))


if __name__ == "__main__":
    sys.exit(
        run_service(
            "encoder",
            EncoderSettings,
            body,
            services=[SERVICE],
            table=ENCODER_STATUS,
            fatal_errors=(SpoolUnusable,),
        )
    )
