"""An encoder's side of the decoder, for frames that are sent by hand."""

from __future__ import annotations

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc, types_pb2
from ugicm_client.channel import ServiceClient
from ugicm_servicekit.access import Access
from ugicm_servicekit.errors import BadAnswer

__all__ = ["IngestClient"]

_NAME_OF_RESULT = {
    decoder_pb2.INGEST_RESULT_STORED: "stored",
    decoder_pb2.INGEST_RESULT_DUPLICATE: "duplicate",
}


class IngestClient(ServiceClient):
    """Stores frames in a decoder, one by one.

    Args:
        address: ``host:port``.
        timeout_seconds: for one answer.
        access: what to show to be let in; plaintext without a token if not given.
    """

    service = "decoder"

    def __init__(
        self, address: str, *, timeout_seconds: float = 120.0, access: Access | None = None
    ) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds, access=access)
        self._stub = decoder_pb2_grpc.DecoderServiceStub(self._channel)

    async def ingest(self, frame: types_pb2.Frame) -> str:
        """Return "stored" or, where the decoder had the frame, "duplicate"; then it is durable.

        Raises:
            ServiceError: the decoder does not answer, or refuses.
        """
        with self._errors_explained():
            request = decoder_pb2.IngestRequest(frame=frame)
            # A call for each: one whose frame is too large ends.
            call = self._stub.Ingest(iter([request]), timeout=self._timeout_seconds)
            answers = [answer async for answer in call]
            if len(answers) != 1 or answers[0].key != frame.key:
                raise BadAnswer(f"it gave {len(answers)} answers for one frame, or of another")
        (answer,) = answers
        if answer.WhichOneof("outcome") == "failure":
            raise self._refusal(answer.failure.code, answer.failure.message)
        return _NAME_OF_RESULT[answer.result]
