"""Have a stream decoded for one view, and pass on the file as the decoder wrote it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_codec.limits import Limits
from ugicm_console.metrics import PICTURES
from ugicm_console.queries import flag, view_of, whole_number
from ugicm_console.services import Service
from ugicm_console.sessions import Session
from ugicm_servicekit.decoded import DecodedFile, assemble_file
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.flights import Flights
from ugicm_servicekit.wire import FrameKey, key_to_wire, view_to_wire

__all__ = ["Order", "Pictures", "attachment", "order_of"]

_FORMATS = {
    "png": types_pb2.PIXEL_FORMAT_PNG,
    "jpeg": types_pb2.PIXEL_FORMAT_JPEG,
    "webp": types_pb2.PIXEL_FORMAT_WEBP,
}
# A frame's pixels change only with the decoder's model.
_FRESH = "private, max-age=3600"


@dataclass(frozen=True)
class Order:
    """Which picture a request asks for, and how it is written and sent."""

    view: float
    file_format: str
    jpeg_quality: int
    is_download: bool


def order_of(request: Request) -> Order:
    """Return what a request asks for.

    Raises:
        BadRequest: the format is unknown, the quality is out of range, or no view is named.
        BadView: the view is not from 0 to 1.
    """
    asked = request.query_params
    file_format = asked.get("format", "png")
    if file_format not in _FORMATS:
        raise BadRequest(f"format is one of {', '.join(_FORMATS)}, got {file_format[:40]!r}")
    quality = whole_number(asked.get("quality", "0"), "quality", most=100)
    return Order(view_of(request), file_format, quality, flag(request, "download"))


class Pictures:
    """Views of stored frames and of streams, as the decoder writes them.

    Args:
        decoder: decodes them.
        limits: bounds on the pictures.
    """

    def __init__(self, decoder: Service, limits: Limits) -> None:
        self._decoder = decoder
        self._limits = limits
        self._flights: Flights[DecodedFile] = Flights()

    async def answer(
        self, session: Session, source: FrameKey | bytes, order: Order, *, name: str
    ) -> Response:
        """Return one view of a stored frame or of a stream, and where the time went.

        The pages of one user, who come for a new frame together, share its picture while it is
        under way. Those of others have their own: the decoder sees each user's token.

        Args:
            session: for whom.
            source: the frame's key, or the stream.
            order: what is asked for.
            name: of the file, without its ending, where it is downloaded.

        Raises:
            BadAnswer: the decoder answered against the contract.
            ImageTooLarge: the picture exceeds the limits.
            Exception: as ``Service.ask`` has them.
        """
        key = (session.secret, source, order.view, order.file_format, order.jpeg_quality)
        PICTURES.labels("joined" if key in self._flights else "asked").inc()
        decoded = await self._flights.get(key, lambda: self._decoded(session, source, order))
        headers = _headers(decoded, order)
        if order.is_download:
            headers |= attachment(f"{name}-view-{order.view:g}.{order.file_format}")
        return Response(decoded.data, media_type=f"image/{order.file_format}", headers=headers)

    async def _decoded(
        self, session: Session, source: FrameKey | bytes, order: Order
    ) -> DecodedFile:
        request = decoder_pb2.DecodeRequest(
            views=[view_to_wire(order.view)],
            format=_FORMATS[order.file_format],
            jpeg_quality=order.jpeg_quality,
        )
        if isinstance(source, bytes):
            request.stream = source
        else:
            request.key.CopyFrom(key_to_wire(source))
        async with self._decoder.answers(session, "Decode", request) as parts:
            return await assemble_file(
                parts, view=order.view, pixel_format=request.format, limits=self._limits
            )


def attachment(name: str) -> dict[str, str]:
    """Return the header that lets a browser save a file by a name of plain characters."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _headers(decoded: DecodedFile, order: Order) -> dict[str, str]:
    spent = decoded.statistics
    parts = {
        "queue": spent.queue_seconds,
        "latents": spent.latents_seconds,
        "synthesis": spent.synthesis_seconds,
        "picture": spent.picture_seconds,
    }
    return {
        "Cache-Control": _FRESH,
        # Whoever signs in next on the same browser asks anew.
        "Vary": "Cookie",
        "Server-Timing": ", ".join(f"{part};dur={1000 * s:.1f}" for part, s in parts.items()),
        "Ugicm-Latents": "decoded" if spent.latents_seconds else "cached",
        "Ugicm-View": f"{order.view:g}",
        "Ugicm-Model": decoded.start.model,
    }
