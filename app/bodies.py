"""Bodies of requests have a bound, however they are sent: nobody fills a server's memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 2**20


class Bounded:
    """Refuses a body of more than `MAX_BYTES` where it is read, before the rest of it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        n_bytes = 0

        async def bounded() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > MAX_BYTES:
                raise HTTPException(413, f"The body is too long: at most {MAX_BYTES:,} bytes.")
            return message

        await self.app(scope, bounded if scope["type"] == "http" else receive, send)
