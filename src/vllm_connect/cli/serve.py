"""`vllm-connect serve`: the gateway, until somebody ends it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from .._client import ResponsesAPI
from .._keys.balancing import Balance
from ..serve.config.file import ConfigFile
from ..serve.gateway import Gateway
from ..serve.http.app import App
from ..serve.http.server import Server, listen
from ..serve.http.settings import MEBIBYTE, Settings, read_api_keys
from ..serve.page.app import Page


def serve(
    config: str | None,
    host: str,
    port: int,
    *,
    api_keys: Sequence[str],
    allowed_hosts: Sequence[str],
    allowed_origins: Sequence[str],
    balance: Balance | None,
    responses_api: ResponsesAPI,
    max_body: int,
    max_connections: int,
    grace: float,
    access_log: bool,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM.

    Args:
        config: path of the configuration file; None for the user's own, which need not exist yet.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        api_keys: what clients must present, or ``env.NAME``.
        allowed_hosts: see `Settings`.
        allowed_origins: see `Settings`.
        balance: which of several servers gets a request; None for what the configuration says.
        responses_api: how the Responses API is served.
        max_body: MiB of a request's body, at most.
        max_connections: at once, at most.
        grace: seconds for streams to end in when the gateway stops.
        access_log: whether each request is logged.

    Raises:
        ConfigError: something cannot work; nothing was started.
    """
    settings = Settings(
        host=host,
        port=port,
        api_keys=read_api_keys(api_keys),
        allowed_hosts=tuple(allowed_hosts),
        allowed_origins=tuple(allowed_origins),
        max_body=max_body * MEBIBYTE,
        max_connections=max_connections,
        grace=grace,
        access_log=access_log,
    )
    file = ConfigFile(None if config is None else Path(config))
    gateway = Gateway(file, balance=balance, responses_api=responses_api)
    server = Server(App(gateway, settings, Page(gateway)), settings, listen(settings))
    log_to_stderr()
    print(f"vLLM gateway and its page at {server.url} ({_keys_of(file)}); Ctrl-C ends it", flush=True)
    server.run()


def _keys_of(file: ConfigFile) -> str:
    provider = file.current.provider
    if provider is None:
        return f"no servers yet, to be kept in {file.path}"
    count = len(provider.keys)
    return f"{count} {'key' if count == 1 else 'keys'} of {file.path}"


def log_to_stderr() -> None:
    """Write what the gateway and the client have to say to stderr, with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("vllm_connect")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
