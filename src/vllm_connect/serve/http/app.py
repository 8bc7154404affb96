"""The gateway as an ASGI application: who may ask, which route, what becomes of failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from ..._client import AsyncVLLM
from ..._version import __version__
from ..gateway import Gateway
from ..metrics.counters import CONTENT_TYPE
from ..requests.bodies import read_form, read_json
from ..requests.listing import model, models
from ..requests.passing import KEY_HEADER, header_value
from ..requests.routes import FORM_ROUTES, JSON_ROUTES, unsupported
from ..requests.typed import speech_to_text, stored_response
from ..requests.warming import warm_up
from .access_log import log
from .errors import Refusal, refusal_of
from .exchange import ClientLeft, Exchange, Message, Receive, Scope, Send
from .guard import Guard
from .settings import Settings

_LOGGER = logging.getLogger("vllm_connect.serve")
_MODELS = "/v1/models"

Page = Callable[[Exchange], Awaitable[bool]]


class App:
    """The application.

    Args:
        gateway: the client and all that goes with it.
        settings: what the command line decides.
        page: answers what is no route of the API; tells whether it did.
    """

    def __init__(self, gateway: Gateway, settings: Settings, page: Page | None = None) -> None:
        self._gateway = gateway
        self._settings = settings
        self._guard = Guard(settings)
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        exchange = Exchange(scope, receive, send)
        ended = ""
        try:
            try:
                await self._answer(exchange)
            except ClientLeft:
                exchange.failure = ended = "client left"
            except Exception as error:  # noqa: BLE001  # a bug of ours is a 500, and logged
                await self._refuse(exchange, error)
        finally:
            if exchange.operation:
                self._gateway.counters.count(exchange)
                if exchange.failure and not ended:
                    self._gateway.troubles.note(exchange)
            if self._settings.access_log:
                log(exchange, ended)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await warm_up(self._gateway.responses_api)  # uvicorn accepts nobody before this is done
                await self._gateway.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._gateway.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.path
        if path == "/health" and exchange.method in ("GET", "HEAD"):
            await exchange.reply(200, b'{"status":"ok","version":"%b"}' % __version__.encode())
            return
        self._guard.check(exchange)
        if (operation := JSON_ROUTES.get(path)) is not None:
            _allow(exchange, "POST")
            exchange.operation = operation.name
            body = read_json(await self._body(exchange))
            exchange.model = _name_of(body.get("model"))
            await self._unless_left(exchange, operation.answer(self._gateway.client, exchange, body))
        elif (kind := FORM_ROUTES.get(path)) is not None:
            _allow(exchange, "POST")
            exchange.operation = f"audio.{kind}.create"
            fields, files = await read_form(exchange.header(b"content-type"), await self._body(exchange))
            exchange.model = _name_of(fields.get("model"))
            answer = speech_to_text(kind, self._gateway.client, exchange, fields, files)
            await self._unless_left(exchange, answer)
        elif path == _MODELS or path.startswith(f"{_MODELS}/"):
            _allow(exchange, "GET")
            exchange.operation = "models.list"
            await self._list(exchange, self._gateway.client)
        elif path.startswith("/v1/responses/"):
            await stored_response(self._gateway.client, exchange, path.removeprefix("/v1/responses/"))
        elif path == "/metrics":
            _allow(exchange, "GET")
            await exchange.reply(200, self._gateway.counters.text(), CONTENT_TYPE)
        elif name := unsupported(path):
            exchange.operation = name
            raise Refusal(501, f"{name} is not supported by vllm", code="unsupported_operation")
        elif self._page is None or not await self._page(exchange):
            raise Refusal(404, f"there is no {exchange.method} {path} here", code="unknown_route")

    async def _body(self, exchange: Exchange) -> bytes:
        return await exchange.body(self._settings.max_body, self._settings.body_seconds)

    async def _list(self, exchange: Exchange, client: AsyncVLLM) -> None:
        name = exchange.path.removeprefix(_MODELS).lstrip("/")
        await (model(client, exchange, unquote(name)) if name else models(client, exchange))

    async def _unless_left(self, exchange: Exchange, answer: Awaitable[None]) -> None:
        """Answer, unless the client leaves first: then the server's work ends, too."""
        answering = asyncio.current_task()
        assert answering is not None
        leaving = asyncio.ensure_future(_until_left(exchange.receive))
        has_left = False

        def leave(_: object) -> None:
            nonlocal has_left
            if not leaving.cancelled():
                has_left = True
                answering.cancel()

        leaving.add_done_callback(leave)
        try:
            await answer
        except asyncio.CancelledError:
            if not has_left:
                raise
            getattr(answering, "uncancel", int)()  # Python 3.11's
            raise ClientLeft from None
        finally:
            leaving.remove_done_callback(leave)
            leaving.cancel()

    async def _refuse(self, exchange: Exchange, error: Exception) -> None:
        refusal = refusal_of(error, exchange.operation)
        if refusal is None:
            _LOGGER.exception("%s %s failed", exchange.method, exchange.path)
            refusal = Refusal(500, "the gateway has failed: its log says how", code="internal_error")
        if exchange.status:  # the reply has begun, and cannot be anything else any more
            raise error
        exchange.failure, exchange.message = refusal.code or refusal.type, refusal.message
        exchange.key_name = refusal.key_name
        operation = JSON_ROUTES.get(exchange.path)
        headers = refusal.headers
        if refusal.key_name is not None:
            headers.append((KEY_HEADER, header_value(refusal.key_name)))
        is_typed = operation is not None and operation.typed
        await exchange.reply(refusal.status, refusal.body(typed=is_typed), headers=headers)


def _allow(exchange: Exchange, method: str) -> None:
    if exchange.method != method:
        raise Refusal(
            405,
            f"{exchange.path} takes {method}, not {exchange.method}",
            headers=((b"allow", method.encode()),),
        )


def _name_of(model: object) -> str | None:
    if model is not None and not isinstance(model, str):
        raise Refusal(400, "model must be a name", param="model")
    return model


async def _until_left(receive: Receive) -> None:
    message: Message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
