"""A pipeline's side of analytics: what is found in pictures, streams and stored frames."""

from __future__ import annotations

from collections.abc import Sequence

from ugicm.v1 import analytics_pb2, analytics_pb2_grpc
from ugicm_client.channel import ServiceClient
from ugicm_client.pictures import Pixels
from ugicm_client.wire import picture_to_wire
from ugicm_codec.views import MACHINE
from ugicm_servicekit.access import Access
from ugicm_servicekit.wire import FrameKey, key_to_wire, view_to_wire

__all__ = ["PipelineClient"]


class PipelineClient(ServiceClient):
    """Asks an analytics service what it finds."""

    service = "analytics"

    def __init__(
        self, address: str, *, timeout_seconds: float = 120.0, access: Access | None = None
    ) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds, access=access)
        self._stub = analytics_pb2_grpc.AnalyticsServiceStub(self._channel)

    async def analyzers(self) -> list[analytics_pb2.Analyzer]:
        """Return the analyzers that the service has, by name.

        Raises:
            ServiceError: the service does not answer, or refuses.
        """
        request = analytics_pb2.ListAnalyzersRequest()
        with self._errors_explained():
            answer = await self._stub.ListAnalyzers(request, timeout=self._timeout_seconds)
        return list(answer.analyzers)

    async def analyze(
        self,
        source: FrameKey | bytes | Pixels,
        *,
        view: float | str = MACHINE,
        analyzers: Sequence[str] = (),
        minimum_score: float | None = None,
    ) -> analytics_pb2.Analysis:
        """Return what is found in one picture.

        Args:
            source: the key of a stored frame, a stream, or a picture that was never coded.
            view: the view that keys and streams are decoded for, from 0 or ``"human"`` to 1 or
                ``"machine"``.
            analyzers: their names; all that need no labels where empty.
            minimum_score: leaves out findings below it; each analyzer's own where ``None``.

        Raises:
            BadView: ``view`` is out of range.
            ServiceError: the service does not answer, or refuses.
        """
        options = analytics_pb2.AnalyzeOptions(
            analyzers=[analytics_pb2.AnalyzerChoice(name=name) for name in analyzers],
            minimum_score=minimum_score,
        )
        request = analytics_pb2.AnalyzeRequest()
        if isinstance(source, FrameKey):
            request.key.CopyFrom(key_to_wire(source))
            options.view.CopyFrom(view_to_wire(view))
        elif isinstance(source, bytes):
            request.stream = source
            options.view.CopyFrom(view_to_wire(view))
        else:
            request.picture.CopyFrom(picture_to_wire(source))
        request.options.CopyFrom(options)
        with self._errors_explained():
            answer = await self._stub.Analyze(request, timeout=self._timeout_seconds)
        return answer.analysis
