"""The routes of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from urllib.parse import quote, unquote

import jinja2
import orjson

from ..._version import __version__
from ..._wire.decoding import JsonObject
from ...errors import ConfigError
from ..config.editing import (
    Conflict,
    has_provider,
    keys_in,
    name_of,
    with_key,
    with_provider,
    without_key,
)
from ..config.file import Changed
from ..gateway import Gateway
from ..http.errors import Refusal
from ..http.exchange import Exchange
from .forms import Form, Wrong, api_key_of, edit_of, form_again, form_of, read_fields
from .live import live
from .verify import verify

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with none at all, forms would come from nowhere
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOT_KEPT = (b"cache-control", b"no-store")
_HTML = b"text/html; charset=utf-8"
_STATIC = {
    "page.js": b"text/javascript; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
_FOLDER = files(__package__)
_PROVIDERS = "/models/providers"
_KEYS = f"{_PROVIDERS}/vllm"
_SOMEBODY_ELSE = (
    "Somebody else has changed the configuration meanwhile: this page now shows it as it is. "
    "Your entries are below; save again if they are still right."
)
_MOST_BODY = 1 << 20

Handler = Callable[[Exchange], Awaitable[None]]


class Page:
    """The page of a gateway.

    Args:
        gateway: what it shows and changes.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._templates = jinja2.Environment(
            loader=jinja2.FunctionLoader(_template),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/"): self._servers,
            ("GET", "/try"): self._try,
            ("GET", "/live.json"): self._live,
            ("GET", _PROVIDERS): self._providers,
            ("POST", _PROVIDERS): self._add_provider,
            ("GET", _KEYS): self._keys,
            ("POST", _KEYS): self._save,
            ("GET", f"{_KEYS}/new"): self._new,
            ("POST", f"{_KEYS}/verify"): self._verify,
        }

    async def __call__(self, exchange: Exchange) -> bool:
        """Answer a request, if it is for the page; tell whether it was."""
        method = "GET" if exchange.method == "HEAD" else exchange.method
        handler = self._routes.get((method, exchange.path))
        if handler is not None:
            await handler(exchange)
            return True
        if method == "GET" and exchange.path.startswith("/static/"):
            return await self._static(exchange, exchange.path.removeprefix("/static/"))
        prefix = f"{_KEYS}/keys/"
        if not exchange.path.startswith(prefix):
            return False
        name = unquote(exchange.scope["raw_path"].decode("latin-1").removeprefix(prefix))
        if method == "GET":
            await self._edit(exchange, name)
        elif method == "POST":
            await self._save(exchange, name)
        else:
            return False
        return True

    # What is looked at

    async def _servers(self, exchange: Exchange) -> None:
        await self._show(exchange, "servers.html", state=await live(self._gateway))

    async def _live(self, exchange: Exchange) -> None:
        await self._json(exchange, await live(self._gateway))

    async def _try(self, exchange: Exchange) -> None:
        await self._show(exchange, "try.html", has_servers=self._gateway.has_servers)

    async def _providers(self, exchange: Exchange) -> None:
        document = self._document
        await self._show(
            exchange, "providers.html", configured=has_provider(document), count=len(keys_in(document))
        )

    async def _keys(self, exchange: Exchange) -> None:
        forms = [form_of(key) for key in keys_in(self._document)]
        states = {status.key_name: status for status in self._gateway.servers()}
        await self._show(exchange, "keys.html", forms=forms, states=states, deleted=exchange.query("deleted"))

    async def _new(self, exchange: Exchange) -> None:
        await self._form(exchange, Form(), None)

    async def _edit(self, exchange: Exchange, name: str) -> None:
        key = self._stored(name)
        if key is None:
            raise Refusal(404, f"there is no key '{name}'")
        await self._form(exchange, form_of(key), name)

    async def _static(self, exchange: Exchange, name: str) -> bool:
        content_type = _STATIC.get(name)
        if content_type is None:
            return False
        content = (_FOLDER / "static" / name).read_bytes()
        headers = [*_HEADERS, (b"cache-control", b"no-cache")]
        await exchange.reply(200, content, content_type, headers)
        return True

    # What is changed

    async def _add_provider(self, exchange: Exchange) -> None:
        fields = await self._fields(exchange)
        if fields.get("provider") != "vllm":
            raise Refusal(400, "the provider is vllm")
        if not has_provider(self._document):
            with suppress(Changed):  # the next form shows what somebody else has made of it
                self._gateway.change(with_provider(self._document), self._etag)
        await self._redirect(exchange, f"{_KEYS}/new")

    async def _save(self, exchange: Exchange, name: str | None = None) -> None:
        fields = await self._fields(exchange)
        if self._gateway.refresh() or fields.get("etag") != self._etag:
            await self._again(exchange, fields, name, 412, _SOMEBODY_ELSE)
            return
        try:
            if name is not None and "delete" in fields:
                document = without_key(self._document, name)
            else:
                document = with_key(self._document, edit_of(fields, self._stored(name)), name)
            self._gateway.change(document, self._etag)
        except Wrong as wrong:
            await self._again(exchange, fields, name, 422, str(wrong), wrong.field)
        except ConfigError as error:
            await self._again(exchange, fields, name, 422, str(error))
        except Conflict as conflict:
            await self._again(exchange, fields, name, 409, str(conflict))
        except Changed:
            await self._again(exchange, fields, name, 412, _SOMEBODY_ELSE)
        else:
            await self._redirect(
                exchange, f"{_KEYS}?deleted={quote(name or '')}" if "delete" in fields else _KEYS
            )

    async def _verify(self, exchange: Exchange) -> None:
        fields = await self._fields(exchange)
        stored = self._stored(fields.get("replacing"))
        url = fields.get("url", "").strip()
        try:
            api_key = api_key_of(fields, stored, url)
        except Wrong as wrong:
            await self._json(
                exchange, {"reachable": False, "problem": str(wrong), "models": [], "operations": []}
            )
            return
        if api_key is None and stored is not None:
            value = stored["value"]
            api_key = value if isinstance(value, str) else str(value.get("value") or "")
        await self._json(exchange, await verify(url, api_key or "", fields.get("model_name", "").strip()))

    # The rest

    @property
    def _document(self) -> JsonObject:
        return self._gateway.file.current.document

    @property
    def _etag(self) -> str:
        return self._gateway.file.current.etag

    def _stored(self, name: str | None) -> JsonObject | None:
        return next((key for key in keys_in(self._document) if name and name_of(key) == name), None)

    async def _again(
        self,
        exchange: Exchange,
        fields: dict[str, str],
        name: str | None,
        status: int,
        problem: str,
        field: str = "",
    ) -> None:
        form = form_again(fields, self._stored(name))
        await self._form(exchange, form, name, status=status, problem=problem, field=field)

    async def _form(
        self,
        exchange: Exchange,
        form: Form,
        name: str | None,
        *,
        status: int = 200,
        problem: str = "",
        field: str = "",
    ) -> None:
        await self._show(
            exchange,
            "key.html",
            status=status,
            form=form,
            replacing=name,
            action=_KEYS if name is None else f"{_KEYS}/keys/{quote(name, safe='')}",
            etag=self._etag,
            problem=problem,
            field=field,
        )

    async def _fields(self, exchange: Exchange) -> dict[str, str]:
        return read_fields(await exchange.body(_MOST_BODY, 10.0))

    async def _show(self, exchange: Exchange, template: str, *, status: int = 200, **values: object) -> None:
        html = self._templates.get_template(template).render(
            version=__version__,
            path=exchange.path,
            file=str(self._gateway.file.path),
            file_problem=self._gateway.problem,
            **values,
        )
        await exchange.reply(status, html.encode(), _HTML, [*_HEADERS, _NOT_KEPT])

    async def _json(self, exchange: Exchange, value: object) -> None:
        await exchange.reply(200, orjson.dumps(value), headers=[*_HEADERS, _NOT_KEPT])

    async def _redirect(self, exchange: Exchange, to: str) -> None:
        await exchange.reply(303, b"", _HTML, [*_HEADERS, (b"location", to.encode())])


def _template(name: str) -> str | None:
    file = _FOLDER / "templates" / name
    return file.read_text("utf-8") if file.is_file() else None
