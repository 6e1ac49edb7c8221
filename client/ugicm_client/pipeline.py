"""A pipeline's side of analytics: what is found in pictures, streams and stored frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import analytics_pb2, analytics_pb2_grpc, types_pb2
from ugicm_client.channel import ServiceClient
from ugicm_client.errors import ServiceError, ServiceUnavailable
from ugicm_client.pictures import Pixels
from ugicm_client.retries import Retries, may_pass
from ugicm_client.wire import picture_to_wire
from ugicm_codec.views import MACHINE
from ugicm_servicekit.access import Access
from ugicm_servicekit.wire import FrameKey, key_to_wire, view_to_wire

__all__ = ["Analyzers", "PipelineClient", "ResultFilter"]

# Names of analyzers; or, by name, the labels that each shall tell apart, empty where it has its
# own. All that need no labels where there is no name.
Analyzers: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]

# The most that a service puts on one page.
_MAX_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class ResultFilter:
    """Which kept results to list; empty or None: all.

    Attributes:
        captured_from: the first moment inside, with its time zone.
        captured_before: the first moment outside.
        view: from 0 or ``"human"`` to 1 or ``"machine"``; pipelines may see the latter only.
    """

    cameras: Sequence[str] = ()
    captured_from: datetime | None = None
    captured_before: datetime | None = None
    analyzers: Sequence[str] = ()
    labels: Sequence[str] = ()
    minimum_score: float | None = None
    view: float | str | None = MACHINE


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

    async def labelled(
        self, names: Sequence[str], labels: Sequence[str]
    ) -> dict[str, Sequence[str]]:
        """Return analyzers with labels for those that need some; all where no name is given.

        Raises:
            ServiceError: the service does not answer, refuses, or none of them needs labels.
        """
        known = {one.name: one.needs_labels for one in await self.analyzers()}
        chosen = {name: labels if known.get(name) else () for name in names or known}
        # The service itself tells of a name that it does not know.
        if not any(chosen.values()) and chosen.keys() <= known.keys():
            raise ServiceError(
                f"labels are for analyzers that need some; of the {self.service} at "
                f"{self.address}, these do not: {', '.join(chosen)}"
            )
        return chosen

    async def analyze(
        self,
        source: FrameKey | bytes | Pixels,
        *,
        view: float | str = MACHINE,
        analyzers: Analyzers = (),
        minimum_score: float | None = None,
    ) -> analytics_pb2.Analysis:
        """Return what is found in one picture.

        Args:
            source: the key of a stored frame, a stream, or a picture that was never coded.
            view: the view that keys and streams are decoded for, from 0 or ``"human"`` to 1 or
                ``"machine"``.
            analyzers: their names, or labels by name; all that need no labels where empty.
            minimum_score: leaves out findings below it; each analyzer's own where ``None``.

        Raises:
            BadView: ``view`` is out of range.
            ServiceError: the service does not answer, or refuses.
        """
        options = _options(analyzers, minimum_score)
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

    async def results(
        self, wanted: ResultFilter, *, newest: int | None = None
    ) -> AsyncIterator[analytics_pb2.Analysis]:
        """Yield kept results by capture time; or those of the newest pictures, newest first.

        Raises:
            BadView: the view is out of range.
            ServiceError: the service does not answer, refuses, or keeps no results.
        """
        request = analytics_pb2.ListResultsRequest(
            cameras=wanted.cameras,
            capture_time=types_pb2.TimeRange(
                start=_timestamp(wanted.captured_from), end=_timestamp(wanted.captured_before)
            ),
            analyzers=wanted.analyzers,
            labels=wanted.labels,
            minimum_score=wanted.minimum_score,
            view=None if wanted.view is None else view_to_wire(wanted.view),
            newest_first=newest is not None,
        )
        remaining = newest
        while remaining is None or remaining > 0:
            request.page_size = 0 if remaining is None else min(remaining, _MAX_PAGE)
            with self._errors_explained():
                page = await self._stub.ListResults(request, timeout=self._timeout_seconds)
            for analysis in page.analyses:
                yield analysis
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
            remaining = None if remaining is None else remaining - len(page.analyses)

    async def missed(
        self, cameras: Sequence[str] = ()
    ) -> AsyncIterator[analytics_pb2.MissedFrames]:
        """Yield frames of cameras, or of all, that the service's own watch has no results of.

        Raises:
            ServiceError: the service does not answer, refuses, or keeps no results.
        """
        request = analytics_pb2.ListMissedRequest(cameras=cameras)
        while True:
            with self._errors_explained():
                page = await self._stub.ListMissed(request, timeout=self._timeout_seconds)
            for missed in page.missed:
                yield missed
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(
        self,
        cursor: bytes | None = None,
        *,
        start: types_pb2.WatchStart.ValueType = types_pb2.WATCH_START_NOW,
        cameras: Sequence[str] = (),
        mode: types_pb2.WatchMode.ValueType = types_pb2.WATCH_MODE_EVERY,
        view: float | str = MACHINE,
        analyzers: Analyzers = (),
        minimum_score: float | None = None,
        retries: Retries | None = None,
    ) -> AsyncGenerator[analytics_pb2.WatchResultsResponse, None]:
        """Yield what becomes of the frames of cameras, or of all, as the decoder stores them.

        Args:
            cursor: of the response to go on behind.
            start: where to begin without a cursor: now, or at the oldest stored frame.
            cameras: only these; all where empty.
            mode: every frame however late, or only the newest.
            view: the view that frames are decoded for.
            analyzers: their names, or labels by name; all that need no labels where empty.
            minimum_score: leaves out findings below it; each analyzer's own where None.
            retries: watches again, behind the last response, where the service or the decoder
                behind it goes away; where None, the watch ends.

        Raises:
            BadView: the view is out of range.
            ServiceError: the service does not answer, refuses, or goes away, and there are no
                retries or they would be of no use; call again with the last cursor.
        """
        request = analytics_pb2.WatchResultsRequest(
            cameras=cameras, mode=mode, options=_options(analyzers, minimum_score)
        )
        request.options.view.CopyFrom(view_to_wire(view))
        if cursor is None:
            request.start = start
        else:
            request.cursor = cursor
        while True:
            trouble: ServiceError = ServiceUnavailable(
                f"the {self.service} at {self.address} ended the watch"
            )
            try:
                async with aclosing(self._watch_once(request, retries)) as responses:
                    async for response in responses:
                        if retries is not None:
                            retries.reset()
                        request.cursor = response.cursor
                        yield response
            except ServiceError as error:
                if retries is None or not may_pass(error):
                    raise
                trouble = error
            if retries is None:
                return
            await retries.wait(trouble)

    async def _watch_once(
        self, request: analytics_pb2.WatchResultsRequest, retries: Retries | None
    ) -> AsyncGenerator[analytics_pb2.WatchResultsResponse, None]:
        call = self._stub.Watch(request)
        try:
            with self._errors_explained():
                # Comes empty, and without an error, where the call has failed.
                await call.initial_metadata()
                await call.wait_for_connection()
                if retries is not None:
                    retries.has_begun = True
                async for response in call:
                    yield response
        finally:
            call.cancel()


def _options(analyzers: Analyzers, minimum_score: float | None) -> analytics_pb2.AnalyzeOptions:
    labels_of = analyzers if isinstance(analyzers, Mapping) else {}
    return analytics_pb2.AnalyzeOptions(
        analyzers=[
            analytics_pb2.AnalyzerChoice(name=name, labels=labels_of.get(name, ()))
            for name in analyzers
        ],
        minimum_score=minimum_score,
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
