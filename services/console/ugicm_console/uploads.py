"""Answer for users' own pictures: coded once, shown as any view, and beside JPEG."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ugicm.v1 import encoder_pb2, types_pb2
from ugicm_client.pictures import picture_bytes, picture_from_bytes
from ugicm_codec.limits import Limits
from ugicm_console.findings import Findings
from ugicm_console.jpeg import jpeg_within
from ugicm_console.pictures import Pictures, attachment, order_of
from ugicm_console.queries import whole_number
from ugicm_console.requests import body_of, unless_gone
from ugicm_console.services import Services
from ugicm_console.sessions import Session
from ugicm_console.upload_store import Upload, UploadStore
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import Pixels
from ugicm_servicekit.work import Workers

__all__ = ["Uploads"]

# Another session's browser must not find it in its cache.
_PRIVATE = {"Cache-Control": "private, max-age=3600", "Vary": "Cookie"}


class Uploads:
    """Takes pictures and answers for them.

    Args:
        services: the encoder codes them.
        pictures: views of their streams.
        findings: asks analytics.
        store: keeps them.
        workers: threads that read files and write JPEGs.
        limits: bounds on uploaded pictures.
        max_bytes: of an uploaded file.
        request_seconds: how long one may take to arrive.
    """

    def __init__(
        self,
        services: Services,
        pictures: Pictures,
        findings: Findings,
        store: UploadStore,
        workers: Workers,
        *,
        limits: Limits,
        max_bytes: int,
        request_seconds: float,
    ) -> None:
        self._services = services
        self._pictures = pictures
        self._findings = findings
        self._store = store
        self._workers = workers
        self._limits = limits
        self._max_bytes = max_bytes
        self._request_seconds = request_seconds

    async def add(self, request: Request, session: Session) -> Response:
        """Code the picture in the request's body."""
        self._services.need_encoder()
        order = _order(request)
        # Before a large file is read for nothing.
        session.check("/ugicm.v1.EncoderService/Encode", order)
        sent = await body_of(
            request, max_bytes=self._max_bytes, timeout_seconds=self._request_seconds
        )
        upload = await unless_gone(request, self._coded(session, sent, order))
        self._store.add(session, upload)
        return JSONResponse(_to_json(upload), 201)

    async def uploads(self, request: Request, session: Session) -> Response:
        """Return the session's uploads, the newest first."""
        return JSONResponse({"uploads": list(map(_to_json, self._store.of(session)))})

    async def remove(self, request: Request, session: Session) -> Response:
        """Forget an upload."""
        self._store.remove(session, request.path_params["upload"])
        return Response(status_code=204)

    async def original(self, request: Request, session: Session) -> Response:
        """Return the picture as it was coded."""
        upload = self._upload(request, session)
        return Response(upload.original, media_type="image/png", headers=_PRIVATE)

    async def jpeg(self, request: Request, session: Session) -> Response:
        """Return the JPEG file of the stream's size."""
        upload = self._upload(request, session)
        return Response(upload.jpeg.data, media_type="image/jpeg", headers=_PRIVATE)

    async def stream(self, request: Request, session: Session) -> Response:
        """Return the stream."""
        upload = self._upload(request, session)
        return Response(
            upload.coded.stream,
            media_type="application/octet-stream",
            headers=attachment("upload.ugi"),
        )

    async def picture(self, request: Request, session: Session) -> Response:
        """Return one view of the stream."""
        upload, order = self._upload(request, session), order_of(request)
        work = self._pictures.answer(session, upload.coded.stream, order, name="upload")
        return await unless_gone(request, work)

    async def analysis(self, request: Request, session: Session) -> Response:
        """Return what is found in one view of the stream, or in the original."""
        upload = self._upload(request, session)
        if request.query_params.get("view") == "original":
            return await self._findings.of_original(request, session, upload.original)
        return await self._findings.of_stream(request, session, upload.coded.stream)

    def _upload(self, request: Request, session: Session) -> Upload:
        return self._store.get(session, request.path_params["upload"])

    async def _coded(
        self, session: Session, sent: bytes, order: encoder_pb2.EncodeRequest
    ) -> Upload:
        pixels, png = await self._workers.run(self._read, sent)
        order.picture.format = types_pb2.PIXEL_FORMAT_PNG
        order.picture.data = png
        coded = await self._services.need_encoder().ask(session, "Encode", order)
        jpeg = await self._workers.run(jpeg_within, pixels, len(coded.stream))
        return Upload(png, len(sent), coded, jpeg)

    def _read(self, sent: bytes) -> tuple[Pixels, bytes]:
        """Return a file's pixels, upright and in sRGB, and the file that the encoder takes."""
        pixels = picture_from_bytes(sent, limits=self._limits)
        return pixels, picture_bytes(pixels, "png")


def _order(request: Request) -> encoder_pb2.EncodeRequest:
    """Return what to ask of the encoder, but for the picture.

    Raises:
        BadRequest: both a quality and a number of bytes are asked for, or one is out of range.
    """
    quality, max_bytes = (request.query_params.get(name) for name in ("quality", "max_bytes"))
    if quality and max_bytes:
        raise BadRequest("an upload has a quality or a number of bytes, got both")
    if quality:
        return encoder_pb2.EncodeRequest(quality=whole_number(quality, "quality", most=100))
    if max_bytes:
        return encoder_pb2.EncodeRequest(max_bytes=whole_number(max_bytes, "max_bytes"))
    return encoder_pb2.EncodeRequest()


def _to_json(upload: Upload) -> dict[str, Any]:
    info = upload.coded.info
    return {
        "id": upload.name,
        "height": info.height,
        "width": info.width,
        "model": upload.coded.model,
        "original_bytes": upload.sent_bytes,
        "stream": {
            "num_bytes": info.num_bytes,
            "bits_per_pixel": info.bits_per_pixel,
            "quality_step": info.quality_step,
        },
        "jpeg": {
            "num_bytes": len(upload.jpeg.data),
            "quality": upload.jpeg.quality,
            "fits": upload.jpeg.fits,
        },
        "seconds": {"encode": upload.coded.statistics.encode_seconds},
    }
