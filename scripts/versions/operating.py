"""Trials of tokens, of adapters, and of the server itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.lora import write_adapter

from scripts.live.releases import RELEASE
from scripts.versions.chat import PARIS, TOOLS
from scripts.versions.trial import Bed, LackingError, check, has, trial
from vllm_connect import BadRequestError, InvalidResponseError

SERVER = "open"
STEPS, TOKENS, OPERATING = "Chat in three steps", "Tokens and models", "The server"
HELLO = [{"role": "user", "content": "Say: hello"}]


def render_hello(bed: Bed) -> Any:
    """The tokens that a chat would be asked with."""
    return bed.client.chat.completions.render(**bed.chat({"messages": HELLO}))


@trial(STEPS, "`chat.completions.render`", SERVER, "chat.completions.render")
def render_chat(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, messages=HELLO).tokens
    check(render_hello(bed).token_ids == tokens, "other tokens")


@trial(STEPS, "`completions.render`", SERVER, "completions.render")
def render_completion(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, prompt="Say").tokens
    check(bed.client.completions.render(model=bed.model, prompt="Say")[0].token_ids == tokens, "other tokens")


@trial(STEPS, "`messages.render`", SERVER, "messages.render")
def render_messages(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, messages=HELLO).tokens
    rendered = bed.client.messages.render(model=bed.model, messages=HELLO, max_tokens=5)
    check(rendered.token_ids == tokens, "other tokens")


@trial(STEPS, "`responses.render`", SERVER, "responses.render")
def render_responses(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, messages=HELLO).tokens
    rendered = bed.client.responses.render(model=bed.model, input="Say: hello")
    check(rendered.token_ids == tokens, "other tokens")


@trial(STEPS, "`generate.create`", SERVER, "generate.create")
def generate(bed: Bed) -> None:
    answer = bed.ask(messages=HELLO, return_token_ids=True)
    tokens = bed.client.tokenize(model=bed.model, messages=HELLO).tokens
    params = {"temperature": 0, "max_tokens": 200}
    made = bed.client.generate.create(model=bed.model, token_ids=tokens, sampling_params=params)
    check(made.choices[0].token_ids == answer.choices[0].token_ids, "other tokens than chat")


@trial(STEPS, "… streamed", SERVER, "generate.create")
def generate_stream(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, messages=HELLO).tokens
    params = {"temperature": 0, "max_tokens": 200}
    asked = {"model": bed.model, "token_ids": tokens, "sampling_params": params}
    plain = bed.client.generate.create(**asked).choices[0].token_ids
    try:
        chunks = list(bed.client.generate.create(stream=True, **asked))
    except InvalidResponseError:
        raise LackingError("the server answers in one piece, which the client refuses") from None
    check([token for chunk in chunks for token in chunk.choices[0].token_ids] == plain, "other tokens")


@trial(
    STEPS,
    "`chat.completions.derender`, `completions.derender`",
    SERVER,
    "chat.completions.derender",
    "completions.derender",
)
def derender(bed: Bed) -> str | None:
    rendered = render_hello(bed)
    made = bed.client.generate.create(request=rendered)
    reply = bed.client.chat.completions.derender(
        generate_response=made,
        model=bed.model,
        prompt_token_ids=rendered.token_ids,
        prompt_tokens=len(rendered.token_ids),
        chat_request={"model": bed.model, "messages": HELLO},
    )
    content = reply.choices[0].message.content
    check("hello" in content, "another answer")
    text = bed.client.completions.derender(generate_responses=[made], model=bed.model)
    check("hello" in text.choices[0].text, "another text")
    return None if content == "hello" else "the reasoning stays in the text"


@trial(
    STEPS,
    "`…derender_chunk`",
    SERVER,
    "chat.completions.derender_chunk",
    "completions.derender_chunk",
)
def derender_chunk(bed: Bed) -> None:
    rendered = render_hello(bed)
    state, said = None, ""
    texts, text = None, ""
    for chunk in bed.client.generate.create(request=rendered, stream=True):
        try:
            reply = bed.client.chat.completions.derender_chunk(
                generate_chunk=chunk,
                stream_state=state,
                model=bed.model,
                prompt_token_ids=rendered.token_ids,
                chat_request={"model": bed.model, "messages": HELLO},
            )
        except BadRequestError:
            raise LackingError("the server takes whole answers alone") from None
        state = reply.stream_state
        said += "".join(choice.delta.content or "" for choice in reply.chunk.choices)
        reply = bed.client.completions.derender_chunk(
            generate_chunk=chunk, stream_state=texts, model=bed.model
        )
        texts = reply.stream_state
        text += "".join(choice.text for choice in reply.chunk.choices)
    check(said.startswith("hello") and "hello" in text, "another answer")  # vLLM leaves its end in it


@trial(STEPS, "`generate.abort`", SERVER, "generate.abort")
def generate_abort(bed: Bed) -> None:
    check(bed.client.generate.abort(request_ids=["nobody's"]) is None, "another answer")


@trial(TOKENS, "`tokenize`, `detokenize`", SERVER, "tokenize", "detokenize")
def tokens(bed: Bed) -> None:
    text = "Grüße, 世界 🎉"
    found = bed.client.tokenize(model=bed.model, prompt=text)
    check((found.count, found.max_model_len) == (len(found.tokens), 2048), "other counts")
    check(bed.client.detokenize(model=bed.model, tokens=found.tokens).prompt == text, "another text")


@trial(TOKENS, "`tokenize` of a conversation with tools", SERVER, "tokenize")
def tokens_of_chat(bed: Bed) -> None:
    found = bed.client.tokenize(model=bed.model, messages=PARIS, tools=TOOLS)
    check(
        found.count == bed.ask(messages=PARIS, tools=TOOLS).usage.prompt_tokens, "another count than chat's"
    )


@trial(TOKENS, "… `return_token_strs`", SERVER, "tokenize")
def token_texts(bed: Bed) -> None:
    found = bed.client.tokenize(model=bed.model, prompt="Say: hello", return_token_strs=True)
    has(found.token_strs == ["Say", ":", "Ġ", "hello"], "ignored")


@trial(TOKENS, "`models.list`, with `max_model_len`", SERVER, "models.list")
def models(bed: Bed) -> None:
    (model,) = [one for one in bed.client.models.list().data if one.id == bed.model]
    check(model.max_model_len == 2048, "another length")


@trial(OPERATING, "`server.health`, `.version`", SERVER, "server.health", "server.version")
def health(bed: Bed) -> None:
    check(bed.client.server.health() is True, "not healthy")
    check(bed.client.server.version().startswith(RELEASE), "another version")


@trial(OPERATING, "`server.wait_until_ready`", SERVER, "server.wait_until_ready")
def wait_until_ready(bed: Bed) -> None:
    bed.client.server.wait_until_ready(bed.model, timeout=60)


@trial(OPERATING, "`server.load`", SERVER, "server.load")
def load(bed: Bed) -> None:
    check(bed.client.server.load() >= 0, "no number")


@trial(OPERATING, "`server.metrics`", SERVER, "server.metrics")
def metrics(bed: Bed) -> str | None:
    bed.ask()
    found = bed.client.server.metrics()
    names = (
        "running",
        "waiting",
        "kv_cache_usage",
        "prefix_cache_hit_rate",
        "time_to_first_token",
        "prompt_tokens",
        "generation_tokens",
    )
    lacking = [name for name in names if getattr(found, name) is None]
    has(len(lacking) < len(names), "none of the numbers")
    return f"no `{'`, `'.join(lacking)}`" if lacking else None


@trial(
    OPERATING,
    "`server.sleep`, `.wake_up`, `.is_sleeping`",
    SERVER,
    "server.sleep",
    "server.wake_up",
    "server.is_sleeping",
)
def sleep(bed: Bed) -> None:
    server = bed.client.server
    check(server.is_sleeping() is False, "it sleeps")
    server.sleep(level=1, mode="wait")
    check(server.is_sleeping() is True, "it does not sleep")
    server.wake_up()
    check(server.is_sleeping() is False, "it does not wake up")


@trial(
    OPERATING,
    "`server.pause`, `.resume`, `.is_paused`",
    SERVER,
    "server.pause",
    "server.resume",
    "server.is_paused",
)
def pause(bed: Bed) -> None:
    server = bed.client.server
    server.pause(mode="keep")
    check(server.is_paused() is True, "it is not paused")
    server.resume()
    check(server.is_paused() is False, "it does not resume")


@trial(OPERATING, "`server.reset_prefix_cache`", SERVER, "server.reset_prefix_cache")
def reset_prefix_cache(bed: Bed) -> None:
    bed.client.server.reset_prefix_cache()


@trial(OPERATING, "`server.server_info`", SERVER, "server.server_info")
def server_info(bed: Bed) -> None:
    found = bed.client.server.server_info(config_format="json")
    check(isinstance(found["vllm_config"], dict), "no object")


@trial(OPERATING, "`lora.load`, `.unload`", SERVER, "lora.load", "lora.unload")
def lora(bed: Bed) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_adapter(Path(folder))
        bed.client.lora.load(lora_name="louder", lora_path=folder)
        try:
            check("louder" in {one.id for one in bed.client.models.list().data}, "not in the list of models")
            reply = bed.ask(model="louder", max_tokens=3)
            check(reply.model == "louder", "another model")
        finally:
            bed.client.lora.unload(lora_name="louder")
    check("louder" not in {one.id for one in bed.client.models.list().data}, "it stays")
