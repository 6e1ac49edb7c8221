"""Answer for what analyzers find, and have found."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ugicm.v1 import analytics_pb2, types_pb2
from ugicm_console.queries import (
    flag,
    frame_key,
    optional_number,
    time_range,
    view_of,
    whole_number,
)
from ugicm_console.requests import unless_gone
from ugicm_console.services import Services
from ugicm_console.sessions import Session
from ugicm_console.wire import analysis_to_json, analyzer_to_json
from ugicm_servicekit.wire import check_camera, key_to_wire, view_to_wire

__all__ = ["Findings"]


class Findings:
    """Answers from analytics.

    Args:
        services: analytics is asked, where there is one.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def analyzers(self, request: Request, session: Session) -> Response:
        """Return the analyzers that can be asked for."""
        asked = analytics_pb2.ListAnalyzersRequest()
        found = await self._services.need_analytics().ask(session, "ListAnalyzers", asked)
        return JSONResponse({"analyzers": list(map(analyzer_to_json, found.analyzers))})

    async def results(self, request: Request, session: Session) -> Response:
        """Return a page of kept results."""
        asked = request.query_params
        cameras = asked.getlist("camera")
        for camera in cameras:
            check_camera(camera)
        order = analytics_pb2.ListResultsRequest(
            cameras=cameras,
            capture_time=time_range(request),
            analyzers=asked.getlist("analyzer"),
            labels=asked.getlist("label"),
            minimum_score=optional_number(request, "minimum_score"),
            view=view_to_wire(view_of(request)) if asked.get("view") else None,
            newest_first=flag(request, "newest_first"),
            page_size=whole_number(asked.get("page_size", "50"), "page_size", most=1000),
            page_token=asked.get("page_token", ""),
        )
        page = await self._services.need_analytics().ask(session, "ListResults", order)
        return JSONResponse(
            {
                "results": list(map(analysis_to_json, page.analyses)),
                "next_page_token": page.next_page_token,
            }
        )

    async def of_frame(self, request: Request, session: Session) -> Response:
        """Return what is found in one view of one frame."""
        order = analytics_pb2.AnalyzeRequest(key=key_to_wire(frame_key(request)))
        order.options.view.CopyFrom(view_to_wire(view_of(request)))
        return await self.analyze(request, session, order)

    async def of_stream(self, request: Request, session: Session, stream: bytes) -> Response:
        """Return what is found in one view of a stream."""
        order = analytics_pb2.AnalyzeRequest(stream=stream)
        order.options.view.CopyFrom(view_to_wire(view_of(request)))
        return await self.analyze(request, session, order)

    async def of_original(self, request: Request, session: Session, png: bytes) -> Response:
        """Return what is found in a picture that was never coded."""
        picture = types_pb2.Picture(format=types_pb2.PIXEL_FORMAT_PNG, data=png)
        return await self.analyze(request, session, analytics_pb2.AnalyzeRequest(picture=picture))

    async def analyze(
        self, request: Request, session: Session, order: analytics_pb2.AnalyzeRequest
    ) -> Response:
        """Return what the analyzers that the request chooses find, as ``order`` says where."""
        analytics = self._services.need_analytics()
        order.options.analyzers.extend(await self._choices(request, session))
        score = optional_number(request, "minimum_score")
        if score is not None:
            order.options.minimum_score = score
        answer = await unless_gone(request, analytics.ask(session, "Analyze", order))
        return JSONResponse(analysis_to_json(answer.analysis))

    async def _choices(
        self, request: Request, session: Session
    ) -> list[analytics_pb2.AnalyzerChoice]:
        names = request.query_params.getlist("analyzer")
        labels = request.query_params.getlist("label")
        if not labels:
            return [analytics_pb2.AnalyzerChoice(name=name) for name in names]
        # Labels go only to who needs them: with the others they are a mistake.
        asked = analytics_pb2.ListAnalyzersRequest()
        known = await self._services.need_analytics().ask(session, "ListAnalyzers", asked)
        needing = {one.name for one in known.analyzers if one.needs_labels}
        return [
            analytics_pb2.AnalyzerChoice(name=name, labels=labels if name in needing else ())
            for name in names or [one.name for one in known.analyzers]
        ]
