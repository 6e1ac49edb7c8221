"""The decoder's real process with a fake codec: ``python fake_service.py [flags]``."""

from __future__ import annotations

import sys

from tests.fake_codec import FakeCodec
from ugicm_decoder.errors import DecoderError
from ugicm_decoder.main import SERVICE, serve
from ugicm_decoder.settings import DecoderSettings
from ugicm_decoder.status import DECODER_STATUS
from ugicm_servicekit.models import Models
from ugicm_servicekit.process import run_service


async def body(settings, server):
    await serve(settings, server, Models([FakeCodec()]))


if __name__ == "__main__":
    sys.exit(
        run_service(
            "decoder",
            DecoderSettings,
            body,
            services=[SERVICE],
            table=DECODER_STATUS,
            fatal_errors=(DecoderError,),
        )
    )
