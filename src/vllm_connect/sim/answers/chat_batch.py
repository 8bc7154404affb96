"""`/v1/chat/completions/batch`: several conversations, one choice for each, never streamed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.replies import Json, read_json, request_id
from ..requests.chat_batch import read_batch
from .chat import Reply
from .turns import prepare, take
from .usage import brief_usage


async def batch(request: Request) -> Response:
    """Answer a request of several conversations."""
    conversations = read_batch(await read_json(request))
    options = served(request, conversations[0].model)
    prompts = [prepare(each, options) for each in conversations]
    id = request_id(request, "chatcmpl", conversations[0].request_id)
    turns = [take(each, options, *prompt) for each, prompt in zip(conversations, prompts, strict=True)]
    generations = [generation for turn in turns for generation in turn.generations]
    await engine_of(request).spend(id, generations, options.delay)
    choices = []
    for i, (each, turn) in enumerate(zip(conversations, turns, strict=True)):
        if each.stream:  # which a batch is not, and vLLM keeps the last piece alone
            del turn.generations[0].tokens[:-1]
        whole = Reply(id, each, options).whole(turn)
        choice = whole["choices"][0]
        choice["message"]["content"] = choice["message"]["content"] or None
        choices.append({**choice, "index": i})
    prompt_tokens = sum(len(turn.prompt_tokens) for turn in turns)
    usage = brief_usage(prompt_tokens, sum(turn.completion_tokens for turn in turns))
    details = {"prompt_tokens_details": None, "completion_tokens_details": None}
    # What a chat tells beside its choices, a batch leaves out.
    unsaid = dict.fromkeys(
        ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params")
    )
    return Json({**whole, **unsaid, "choices": choices, "usage": {**usage, **details}})
