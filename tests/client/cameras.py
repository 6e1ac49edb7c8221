"""Cameras on a network, small but real: motion JPEG over HTTP, and H.264 over RTSP."""

from __future__ import annotations

import base64
import io
import queue
import struct
import threading
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer

import av
from PIL import Image

END = object()
"""In a script: the camera closes the connection."""


class Camera:
    """What a camera shows: every connection takes from one script, and ends where that ends.

    Attributes:
        address: where it is.
        num_connections: how many have been let in.
        wanted: the user and password that it asks for; None lets everybody in.
        playlist: what it answers instead of pictures, over HTTP.
    """

    def __init__(self, wanted=None):
        self.address = ""
        self.num_connections = 0
        self.wanted = wanted
        self.playlist = ""
        self._script = queue.SimpleQueue()

    def show(self, *images):
        for image in images:
            self._script.put(image)

    def images(self):
        """Yield what one connection sees."""
        self.num_connections += 1
        while (image := self._script.get()) is not END:
            if isinstance(image, threading.Event):
                image.set()
            else:
                yield image

    def lets_in(self, header):
        if self.wanted is None:
            return True
        return header == "Basic " + base64.b64encode(":".join(self.wanted).encode()).decode()


class _MotionJpeg(BaseHTTPRequestHandler):
    def do_GET(self):
        camera = self.server.camera
        if not camera.lets_in(self.headers["Authorization"]):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        if camera.playlist:
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.end_headers()
            self.wfile.write(camera.playlist.encode())
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        for image in camera.images():
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=95)
            head = (
                f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {buffer.tell()}\r\n\r\n"
            )
            self.wfile.write(head.encode() + buffer.getvalue() + b"\r\n")

    def log_message(self, *arguments):
        """Say nothing."""


class _Rtsp(StreamRequestHandler):
    """The part of RFC 2326 that a reader over TCP needs."""

    def handle(self):
        while (line := self.rfile.readline().decode().strip()) or line:
            method = line.split()[0]
            headers = {}
            while header := self.rfile.readline().decode().strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            if not self.answer(method, headers):
                return

    def answer(self, method, headers):
        camera, body, more = self.server.camera, "", {}
        status = "200 OK"
        if method == "OPTIONS":
            more["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
        elif not camera.lets_in(headers.get("authorization")):
            status, more["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
        elif method == "DESCRIBE":
            more["Content-Type"] = "application/sdp"
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {self.server.coding}/90000\r\n"
                "a=control:video\r\n"
            )
        elif method == "SETUP":
            more |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
        more["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        answer = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{head}\r\n{body}"
        self.wfile.write(answer.encode())
        if method == "PLAY":
            self.play()
        return method not in ("PLAY", "TEARDOWN")

    def play(self):
        encoder, sequence = None, 0
        for index, image in enumerate(self.server.camera.images()):
            if encoder is None or (encoder.height, encoder.width) != image.shape[:2]:
                encoder = av.CodecContext.create("libx264", "w")
                encoder.height, encoder.width = image.shape[:2]
                encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 10)
                # Every picture stands alone and leaves the encoder at once.
                encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "g": "1"}
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            for packet in encoder.encode(frame):
                units = [unit for unit in bytes(packet).split(b"\0\0\1") if unit.strip(b"\0")]
                for number, unit in enumerate(units):
                    is_last = number == len(units) - 1
                    unit = unit if is_last else unit.rstrip(b"\0")
                    head = struct.pack(">BBHII", 0x80, 96 | is_last << 7, sequence, 9000 * index, 7)
                    self.wfile.write(b"$\0" + struct.pack(">H", len(head + unit)) + head + unit)
                    sequence += 1


@contextmanager
def http_camera(camera):
    with _serving(ThreadingHTTPServer, _MotionJpeg, camera) as port:
        camera.address = f"http://127.0.0.1:{port}/video"
        yield camera


@contextmanager
def rtsp_camera(camera, coding="H264"):
    with _serving(ThreadingTCPServer, _Rtsp, camera, coding=coding) as port:
        camera.address = f"rtsp://127.0.0.1:{port}/stream1"
        yield camera


@contextmanager
def _serving(kind, handler, camera, **attributes):
    with kind(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.camera = camera
        vars(server).update(attributes)
        server.handle_error = lambda request, address: None  # a reader that has left
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            camera.show(*[END] * (camera.num_connections + 1))
            server.shutdown()
            thread.join()
