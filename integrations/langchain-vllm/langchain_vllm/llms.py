"""`VLLMCompletion`: vLLM's text completions as a LangChain LLM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseLLM, LangSmithParams, LanguageModelInput
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from pydantic import Field
from vllm_connect.adapters import agather_or_cancel, batches, gather_or_cancel
from vllm_connect.types import Completion

from .errors import model_errors
from .language_model import LanguageModel
from .parameters import CompletionParameters
from .server import CONFIG
from .usage import sums
from .wire import Json

_OF_CHOICE = (
    "finish_reason",
    "stop_reason",
    "token_ids",
    "prompt_token_ids",
    "prompt_logprobs",
)

_NOT_OF_REQUEST = frozenset({"callbacks", "metadata", "run_id", "run_name", "stop", "tags"})
_CALL: ContextVar[tuple[object, Mapping[str, object]]] = ContextVar("call", default=(None, {}))
"""The model whose `generate` runs, and the arguments of the request."""


class VLLMCompletion(LanguageModel, CompletionParameters, BaseLLM):
    """Continue texts with a model on a vLLM server.

        llm = VLLMCompletion(model="llama", base_url="http://localhost:8000", max_tokens=64)
        llm.batch(["Once upon a time", "In the beginning"])     # one request

    Parameters that are unset are not sent: without `max_tokens` the server generates 16.
    """

    model_config = CONFIG

    batch_size: int | None = Field(default=None, ge=1)
    """Prompts per request at the most; of further requests, as many go at once as the servers do best with.
    Default: all in one."""

    @property
    def _llm_type(self) -> str:
        return "vllm-completion"

    @property
    def _identifying_params(self) -> Json:
        model, arguments = _CALL.get()
        return {**self._identify(CompletionParameters), **(arguments if model is self else {})}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "vllm"
        return params

    # Traces and caches get the arguments of these four as they are.

    def generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        """See `BaseLLM`."""
        kwargs = self._without_secrets(kwargs)
        with self._identified_by(kwargs):
            return super().generate(prompts, *args, **kwargs)

    async def agenerate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        """See `BaseLLM`."""
        kwargs = self._without_secrets(kwargs)
        with self._identified_by(kwargs):
            return await super().agenerate(prompts, *args, **kwargs)

    @contextmanager
    def _identified_by(self, kwargs: Mapping[str, object]) -> Iterator[None]:
        """Let caches tell calls apart by their arguments, too; langchain-core's `BaseLLM` forgets these."""
        arguments = {name: value for name, value in kwargs.items() if name not in _NOT_OF_REQUEST}
        if self._is_cached() and not (arguments.get("model") or self.model):
            arguments["served_model"] = self._served_model()
        token = _CALL.set((self, arguments))
        try:
            yield
        finally:
            _CALL.reset(token)

    def _is_cached(self) -> bool:
        return get_llm_cache() is not None if self.cache is None else self.cache is not False

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[str]:
        """See `BaseLLM`."""
        return super().stream(input, config, **self._without_secrets(kwargs))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[str]:
        """See `BaseLLM`."""
        return super().astream(input, config, **self._without_secrets(kwargs))

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self._streams(prompts, kwargs):
            whole: GenerationChunk | None = None
            for chunk in self._stream(prompts[0], stop, run_manager, **kwargs):
                whole = chunk if whole is None else whole + chunk
            return _result_of_stream(whole)
        with model_errors():
            request = self._request(CompletionParameters, stop, kwargs, stream=False)
            client = self._client()

            def ask(batch: list[str]) -> object:
                return client.completions.create(prompt=batch, **request)

            replies = gather_or_cancel(ask, self._batches(prompts), None, client=client)
        return self._result(prompts, replies)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self._streams(prompts, kwargs):
            whole: GenerationChunk | None = None
            async for chunk in self._astream(prompts[0], stop, run_manager, **kwargs):
                whole = chunk if whole is None else whole + chunk
            return _result_of_stream(whole)
        with model_errors():
            request = self._request(CompletionParameters, stop, kwargs, stream=False)
            client = self._async_client()

            async def ask(batch: list[str]) -> object:
                return await client.completions.create(prompt=batch, **request)

            replies = await agather_or_cancel(ask, self._batches(prompts), client=client)
        return self._result(prompts, replies)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with closing(self._chunks(prompt, stop, kwargs)) as chunks:
            for chunk in chunks:
                if (read := read_chunk(chunk)) is not None:
                    if run_manager:
                        run_manager.on_llm_new_token(read.text, chunk=read)
                    yield read

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async with aclosing(self._achunks(prompt, stop, kwargs)) as chunks:
            async for chunk in chunks:
                if (read := read_chunk(chunk)) is not None:
                    if run_manager:
                        await run_manager.on_llm_new_token(read.text, chunk=read)
                    yield read

    def _chunks(
        self, prompt: str, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> Generator[Completion]:
        with model_errors():
            request = self._request(CompletionParameters, stop, kwargs, stream=True)
            with self._client().completions.create(prompt=prompt, **request) as stream:
                yield from stream

    async def _achunks(
        self, prompt: str, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[Completion]:
        with model_errors():
            request = self._request(CompletionParameters, stop, kwargs, stream=True)
            async with await self._async_client().completions.create(prompt=prompt, **request) as stream:
                async for chunk in stream:
                    yield chunk

    def _batches(self, prompts: list[str]) -> list[list[str]]:
        """The prompts, as many together as go into a request."""
        size = self.batch_size or len(prompts) or 1
        return [list(batch) for batch in batches(prompts, size)]

    def _result(self, prompts: list[str], replies: Sequence[object]) -> LLMResult:
        pairs = zip(self._batches(prompts), replies, strict=True)
        return joined([read_completion(cast("Completion", reply), len(batch)) for batch, reply in pairs])

    def _streams(self, prompts: list[str], given: Mapping[str, Any]) -> bool:
        return bool(self.streaming) and len(prompts) == 1 and self._answers(given) == 1


def read_completion(completion: Completion, prompts: int) -> LLMResult:
    """The answers of a completion, by prompt: choice i*n+j is answer j to prompt i.

    Raises:
        ValueError: not every prompt has as many answers as the others.
    """
    choices = sorted(completion.choices, key=lambda choice: choice.index)
    each, rest = divmod(len(choices), prompts)
    if rest or not each:
        raise ValueError(f"{len(choices)} answers to {prompts} prompts")
    generations = [
        [
            Generation(text=choice.text, generation_info=_info(choice))
            for choice in choices[start : start + each]
        ]
        for start in range(0, len(choices), each)
    ]
    output: Json = {"model_name": completion.model, "id": completion.id}
    if completion.usage:
        output["token_usage"] = completion.usage.model_dump(exclude_none=True)
    return LLMResult(generations=generations, llm_output=output)


def joined(results: Sequence[LLMResult]) -> LLMResult:
    """The results of several requests as one, with the tokens of them all."""
    if len(results) == 1:
        return results[0]
    output: Json = {}
    usage: Json = {}
    for result in results:
        output.update(result.llm_output or {})
        usage = sums(usage, (result.llm_output or {}).get("token_usage") or {})
    if usage:
        output["token_usage"] = usage
    output.pop("id", None)
    return LLMResult(
        generations=[each for result in results for each in result.generations], llm_output=output
    )


def read_chunk(chunk: Completion) -> GenerationChunk | None:
    """One chunk of a stream, which is one answer; None if there is nothing in it."""
    choice = next((choice for choice in chunk.choices if not choice.index), None)
    info = _info(choice) if choice else {}
    if choice and choice.finish_reason:
        info["model_name"] = chunk.model
    if chunk.usage and not chunk.choices:
        info["token_usage"] = chunk.usage.model_dump(exclude_none=True)
    text = choice.text if choice else ""
    return GenerationChunk(text=text, generation_info=info or None) if text or info else None


def _info(choice: Any) -> Json:
    info = {name: value for name in _OF_CHOICE if (value := getattr(choice, name)) is not None}
    if choice.logprobs is not None:
        info["logprobs"] = choice.logprobs.model_dump(exclude_none=True)
    return info


def _result_of_stream(whole: GenerationChunk | None) -> LLMResult:
    if whole is None:
        raise ValueError("the stream was empty")
    info = dict(whole.generation_info or {})
    output: Json = {name: info[name] for name in ("model_name", "token_usage") if name in info}
    return LLMResult(
        generations=[[Generation(text=whole.text, generation_info=info or None)]], llm_output=output or None
    )
