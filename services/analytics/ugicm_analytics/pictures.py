"""Take a picture from its source to the findings, and keep what is found in frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2
from ugicm_analytics import metrics
from ugicm_analytics.analysis import Choice, Outcome, Patience, patiently, run_analyzers
from ugicm_analytics.decoder import DecodedPicture, Decoder
from ugicm_analytics.lanes import Lane
from ugicm_analytics.results.interface import Progress, ResultStore
from ugicm_analytics.wire import result_to_wire
from ugicm_codec.limits import Limits
from ugicm_servicekit.clients import pixels_under_way
from ugicm_servicekit.logs import about_frame
from ugicm_servicekit.pictures import Pixels, count_pixels, pixels_from_wire
from ugicm_servicekit.stages import stage
from ugicm_servicekit.tracing import frame_span
from ugicm_servicekit.wire import FrameKey
from ugicm_servicekit.work import Workers

__all__ = ["Pictures", "Seen"]


@dataclass(frozen=True)
class Seen:
    """What was found in a frame.

    Attributes:
        answer: for whoever asked, of the scores asked for.
        kept: for the store, of the scores that it keeps; without what may yet turn out otherwise.
    """

    answer: pb.Analysis
    kept: pb.Analysis


class Pictures:
    """Looks at pictures, at streams, and at stored frames.

    Args:
        lanes: the analyzers, by name.
        decoder: where the pixels of streams and frames come from.
        readers: threads that read pictures which come with requests.
        store: keeps what is found in frames; None: nobody does.
        limits: on pictures that come with requests.
        kept_minimum_score: of findings that are kept; each analyzer's own where None.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        decoder: Decoder,
        readers: Workers,
        store: ResultStore | None,
        *,
        limits: Limits,
        kept_minimum_score: float | None,
    ) -> None:
        self._lanes = lanes
        self._decoder = decoder
        self._readers = readers
        self._store = store
        self._limits = limits
        self._kept_minimum_score = kept_minimum_score

    async def picture(self, picture: types_pb2.Picture, choices: Sequence[Choice]) -> pb.Analysis:
        """Return what is found in a picture that was never coded.

        Raises:
            BadRequest: the bytes are no picture.
            ImageTooLarge: it exceeds the limits.
            Overloaded: too much waits already.
        """
        with pixels_under_way(await count_pixels(picture, self._limits)):
            read = await self._readers.timed(pixels_from_wire, picture, self._limits)
            outcomes = await run_analyzers(self._lanes, choices, read.value, Patience.REFUSE)
        height, width, _ = read.value.shape
        queue_seconds = read.queue_seconds + _queue_seconds(outcomes)
        return pb.Analysis(
            height=height,
            width=width,
            results=_answers(outcomes),
            statistics=pb.AnalyzeStatistics(queue_seconds=queue_seconds),
        )

    async def stream(
        self, stream: bytes, view: float, choices: Sequence[Choice], *, timeout_seconds: float
    ) -> pb.Analysis:
        """Return what is found in a stream that came with the request.

        Raises:
            DecoderError, Unreachable: the decoder gave no picture.
            Overloaded: too much waits already.
        """
        decoded = await self._decoder.decode(stream, view, timeout_seconds=timeout_seconds)
        outcomes = await self._look(decoded.pixels, choices, Patience.REFUSE)
        return _analysis(decoded, _answers(outcomes), outcomes)

    async def frame(
        self,
        key: FrameKey,
        view: float,
        choices: Sequence[Choice],
        *,
        timeout_seconds: float,
        patience: Patience,
    ) -> Seen:
        """Return what is found in a stored frame; ``keep`` keeps it.

        Raises:
            DecoderError, Unreachable: the decoder gave no picture.
            Overloaded: too much waits already, and patience is at its end.
        """
        about_frame(key)
        with frame_span("analyze", key):
            if patience is Patience.REFUSE:
                decoded = await self._decoder.decode(key, view, timeout_seconds=timeout_seconds)
                outcomes = await self._look(decoded.pixels, choices, patience)
            else:
                decoded = await patiently(
                    self._decoder.decode, key, view, timeout_seconds=timeout_seconds
                )
                outcomes = await patiently(self._look, decoded.pixels, choices, patience)
        return Seen(
            answer=_analysis(decoded, _answers(outcomes), outcomes),
            kept=_analysis(decoded, self._kept(outcomes)),
        )

    async def keep(self, seen: Seen, *, progress: Progress | None = None) -> None:
        """Return once it is durable what was found in a frame, together with ``progress``.

        Raises:
            ResultsError: the store cannot take it.
        """
        if self._store is None or not (seen.kept.results or progress):
            return
        with stage("keep"):
            stored = await self._store.put(seen.kept, progress=progress)
        for name in stored:
            metrics.RESULTS.labels(name, "stored").inc()
        for name in {result.analyzer for result in seen.kept.results} - stored:
            metrics.RESULTS.labels(name, "known").inc()

    async def _look(
        self, pixels: Pixels, choices: Sequence[Choice], patience: Patience
    ) -> list[Outcome]:
        height, width, _ = pixels.shape
        with pixels_under_way(height * width):
            return await run_analyzers(self._lanes, choices, pixels, patience)

    def _kept(self, outcomes: Sequence[Outcome]) -> list[pb.AnalyzerResult]:
        minimum = self._kept_minimum_score
        results = [
            result_to_wire(one, one.choice.info.minimum_score if minimum is None else minimum)
            for one in outcomes
        ]
        return [result for result in results if not result.failure.HasField("retry_after_seconds")]


def _answers(outcomes: Sequence[Outcome]) -> list[pb.AnalyzerResult]:
    results = [result_to_wire(one, one.choice.minimum_score) for one in outcomes]
    for result in results:
        found = len(result.detections) + len(result.classifications) + len(result.segments)
        metrics.FINDINGS.labels(result.analyzer).inc(found)
    return results


def _analysis(
    picture: DecodedPicture,
    results: Sequence[pb.AnalyzerResult],
    outcomes: Sequence[Outcome] | None = None,
) -> pb.Analysis:
    height, width, _ = picture.pixels.shape
    statistics = None
    if outcomes is not None:
        statistics = pb.AnalyzeStatistics(
            queue_seconds=_queue_seconds(outcomes), decode_seconds=picture.seconds
        )
    return pb.Analysis(
        key=picture.key,
        capture_time=picture.capture_time,
        height=height,
        width=width,
        view=picture.view,
        model_sha256=picture.model_sha256,
        results=results,
        statistics=statistics,
    )


def _queue_seconds(outcomes: Sequence[Outcome]) -> float:
    """Return what the picture waited where it waited longest."""
    return max(outcome.queue_seconds for outcome in outcomes)
