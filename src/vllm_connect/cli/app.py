"""The arguments of `vllm-connect`, and its exit codes.

Each command imports what it needs when it runs, so that `--help` is there at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    help="Look at vLLM servers, show what the client does with them, simulate one, or serve several as one.",
    no_args_is_help=True,
    add_completion=False,
    # They would show local variables, and with them API keys.
    pretty_exceptions_enable=False,
)

_USAGE = 2
_URL = "The server, e.g. http://localhost:8000, or several; by default VLLM_BASE_URL, with VLLM_API_KEY."
_API_KEY = "The server's API key, or env.NAME to read it from the environment."

ApiKey = Annotated[str | None, typer.Option("--api-key", metavar="KEY|env.NAME", help=_API_KEY)]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Ask this model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.01, metavar="S", help="Seconds, of each request.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        import platform

        import openai

        from .. import __version__

        print(f"vllm-connect {__version__} (openai {openai.__version__}, Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Exit codes: 0 everything that the server serves works; 1 something that it serves fails, or it "
    "wants another API key; 2 wrong usage; 3 there is no vLLM server. Of several servers the worst counts."
)
def check(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL]...", help=_URL),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="FILE", help="Ask all servers of a configuration in Bifrost's shape."
        ),
    ] = None,
    api_key: ApiKey = None,
    model: Model = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Ask servers for every operation: which they serve, which fail, how fast; their versions and models."""
    from ..errors import ConfigError
    from .check import Report, SeveralReports, check_several
    from .check import check as check_one
    from .check_page import show, show_several
    from .console import make_console, print_json

    if config is not None and (urls or api_key is not None):
        _refuse("pass either --config or URLs (with --api-key): the configuration has both")
    console = make_console()

    def run(progress: Callable[[str], None]) -> Report | SeveralReports:
        if config is None and len(urls or ()) < 2:
            url = urls[0] if urls else None
            return check_one(url, api_key=api_key, model=model, timeout=timeout, progress=progress)
        return check_several(
            urls or (), config, api_key=api_key, model=model, timeout=timeout, progress=progress
        )

    try:
        if as_json or not console.is_terminal:
            report = run(lambda operation: None)
        else:
            with console.status("asking …") as status:
                report = run(lambda operation: status.update(f"asking for {operation} …"))
    except ConfigError as error:
        _refuse(str(error))
    if as_json:
        print_json(report.as_json())
    elif isinstance(report, Report):
        show(console, report)
    else:
        show_several(console, report)
    raise typer.Exit(report.exit_code)


@app.command(
    epilog="Exit codes: 0 everything went as it should; 1 something did not; 2 wrong usage; "
    "3 there is no server."
)
def demo(
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Show it with this server instead of the simulator."),
    ] = None,
    api_key: ApiKey = None,
    model: Model = None,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Show every operation, with both clients, and what the client does when things go wrong."""
    from ..errors import ConfigError
    from .console import make_console, print_json
    from .demo import demonstrate
    from .demo_page import DemoPage

    for logger in ("asyncio", "uvicorn"):  # servers that misbehave on purpose need no comment
        logging.getLogger(logger).addHandler(logging.NullHandler())
    console = make_console()
    page = DemoPage(console)
    try:
        result = demonstrate(
            url, api_key=api_key, model=model, timeout=timeout, page=None if as_json else page
        )  # fmt: skip
    except ConfigError as error:
        _refuse(str(error))
    finally:
        page.close()
    if as_json:
        print_json(result.as_json())
    raise typer.Exit(result.exit_code)


@app.command()
def sim(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for a free one.")] = 8000,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The served name; several are aliases.")
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY|env.NAME", help="Ask for an API key; several are all accepted."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="generate, embed, rerank, classify, transcription; default: all."),
    ] = None,
    max_model_len: Annotated[int, typer.Option(min=1, help="Tokens of context.")] = 32768,
    delay: Annotated[float, typer.Option(min=0, help="Seconds for each generated token.")] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="FAULT", help="What goes wrong, e.g. '503; times=2' or 'cut; after=5'."),
    ] = None,
    vllm_version: Annotated[
        str | None,
        typer.Option(metavar="0.31.0", help="The version it says; newer routes are not there, then."),
    ] = None,
    scale_out: Annotated[
        bool, typer.Option("--scale-out", help="Render prompts, and generate tokens from tokens.")
    ] = False,
    lora: Annotated[bool, typer.Option("--lora", help="Load LoRA adapters.")] = False,
    dev: Annotated[
        bool, typer.Option("--dev", help="Have an operator's routes: sleep, pause, server_info …")
    ] = False,
) -> None:
    """Run a server that speaks vLLM's protocol without a model, until Ctrl-C."""
    from .sim import serve

    try:
        serve(
            host, port, models=model, api_keys=api_key, tasks=task,
            max_model_len=max_model_len, delay=delay, faults=fault, version=vllm_version,
            scale_out=scale_out, lora=lora, dev=dev,
        )  # fmt: skip
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        print(f"vllm-connect: cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command(epilog="Exit codes: 0 it was ended; 2 wrong usage or configuration, and nothing was started.")
def serve(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[config.json]",
            help="The keys, in Bifrost's form. Default: ~/.config/vllm-connect/config.json, if it exists.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this machine's own needs --api-key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for a free one.")] = 8080,
    api_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY|env.NAME", help="Ask clients for an API key; several are all accepted."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which the gateway is addressed; '*' for any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="A web site whose pages may send requests, e.g. https://app.example."
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="Which server gets a request: weighted, least_busy, sticky, round_robin or fill_first."
        ),
    ] = None,
    responses_api: Annotated[
        str,
        typer.Option(
            help="The Responses API: chat (made of chat completions), native (vLLM's own), "
            "or auto (native for what chat completions cannot do)."
        ),
    ] = "auto",
    max_body: Annotated[int, typer.Option(min=1, metavar="MiB", help="A request's body, at most.")] = 64,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections at once, at most.")] = 4096,
    grace: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds for streams to end in when the gateway stops.")
    ] = 30.0,
    access_log: Annotated[bool, typer.Option(help="Log each request in one line.")] = True,
) -> None:
    """Run a gateway: every operation over HTTP under /v1, over the keys of a configuration, until Ctrl-C."""
    from ..errors import ConfigError
    from .serve import serve

    try:
        serve(
            config, host, port, api_keys=api_key or (), allowed_hosts=allow_host or (),
            allowed_origins=allow_origin or (), balance=balance,  # type: ignore[arg-type]  # the client checks it
            responses_api=responses_api,  # type: ignore[arg-type]  # likewise
            max_body=max_body, max_connections=max_connections, grace=grace, access_log=access_log,
        )  # fmt: skip
    except ConfigError as error:
        _refuse(str(error))


@app.command(
    epilog="Exit codes: 0 every line was answered; 1 some got an error, which the output holds; "
    "2 wrong usage; 130 it was ended, and goes on with --resume."
)
def batch(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="A file in the form of OpenAI's Batch API, or -."),
    ],
    target: Annotated[str, typer.Argument(metavar="OUT", help="Where the answers go, as they come.")],
    url: Annotated[list[str] | None, typer.Option("--url", metavar="URL", help=_URL)] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="The servers of a configuration instead.")
    ] = None,
    api_key: ApiKey = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an output that is there.")] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests at once. Default: what the servers do best with."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.01, metavar="S", help="Seconds, of each request. Default: 600.")
    ] = None,
    max_retries: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Further rounds over the servers. Default: 2."),
    ] = None,
    progress: Annotated[bool, typer.Option("--progress", help="Show a bar; needs tqdm.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a file of requests, line by line, on one or several servers.

    IN has {"custom_id": …, "url": "/v1/chat/completions", "body": {…}} in each line, OUT gets the answers and
    errors in the order in which they come. Both may be s3://, hf:// and so on where fsspec is installed.
    """
    from ..errors import ConfigError
    from .batch import make_client, run_batch
    from .console import print_json

    if config is not None and (url or api_key is not None):
        _refuse("pass either --config or --url (with --api-key): the configuration has both")
    try:
        client = make_client(url or (), config, api_key, timeout, max_retries)
        summary = run_batch(
            client, source, target, resume=resume, concurrency=concurrency, progress=progress
        )  # fmt: skip
    except (ConfigError, ImportError) as error:
        _refuse(str(error))
    except ValueError as error:  # the output is of another input
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename or source}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"vllm-connect: ended; --resume goes on with {target}", file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        print_json(summary.as_json())
    else:
        skipped = f", {summary.skipped} done before" if summary.skipped else ""
        print(f"{summary.answered} answered, {summary.failed} failed{skipped}, in {summary.seconds:.1f} s")
    raise typer.Exit(summary.exit_code)


def _refuse(message: str) -> NoReturn:
    print(f"vllm-connect: {message}", file=sys.stderr)
    raise typer.Exit(_USAGE)
