"""A webhook receiver: verifies Standard Webhooks signatures, records deliveries, and fails as it is told to."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import wire
from wire import answer, send

TOLERANCE = 300  # seconds between the sender's clock and ours


class Delivery:
    def __init__(self, head, body, secret):
        self.at = time.monotonic()
        self.head = head
        self.body = body
        self.id = head.get("webhook-id")
        self.problem = verify(head, body, secret) if secret else None
        self.event = json.loads(body)
        self.type = self.event.get("type")
        self.data = self.event.get("data", {})
        self.answered = None


class Hook:
    """`answers`: what the next deliveries get, in order: a status, (status, fields), "hang" or "close"; afterwards `default`."""

    def __init__(self, background, secret=None, on_delivery=None, path="/hook", tls=None, port=0):
        self.background = background
        self.secret = secret
        self.path = path
        self.tls = tls
        self.on_delivery = on_delivery
        self.answers = []
        self.default = 200
        self.deliveries = []
        background.run(self._listen(port))

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.path}"

    @property
    def accepted(self):
        return [delivery for delivery in self.deliveries if delivery.answered and 200 <= delivery.answered < 300]

    def types(self):
        return [delivery.type for delivery in self.accepted]

    def find(self, type, **data):
        """Accepted deliveries of that type whose data has these values."""
        return [d for d in self.accepted if d.type == type and all(d.data.get(key) == value for key, value in data.items())]

    def stop(self):
        self.background.call(self._server.close)

    async def _listen(self, port):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self.tls, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        try:
            while (head := await wire.read_head(reader)) is not None:
                body = b"".join([payload async for payload, _ in wire.body_pieces(reader, head)])
                delivery = Delivery(head, body, self.secret)
                wanted = self.answers.pop(0) if self.answers else self.default
                self.deliveries.append(delivery)
                if wanted == "hang":
                    await reader.read()
                if wanted in ("hang", "close"):
                    break
                status, fields = wanted if isinstance(wanted, tuple) else (wanted, [])
                if delivery.problem:
                    status = 401
                delivery.answered = status
                if self.on_delivery:
                    self.on_delivery(delivery)
                await send(writer, answer(status, (delivery.problem or "ok").encode() + b"\n", fields))
        except wire.GONE:
            pass
        finally:
            writer.close()


def verify(head, body, secret):
    """None, or what is wrong with the signature."""
    identity, stamp = head.get("webhook-id"), head.get("webhook-timestamp", "")
    if not identity or not stamp.isdigit():
        return "webhook-id or webhook-timestamp missing"
    if abs(time.time() - int(stamp)) > TOLERANCE:
        return "webhook-timestamp too far off"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    if not any(hmac.compare_digest(expected, given) for given in head.get("webhook-signature", "").split(" ")):
        return "webhook-signature does not match"
    return None
