"""The servers: which tiny model each serves, how it is started, and the request that proves it works."""

from __future__ import annotations

import io
import json
import wave
from typing import NamedTuple

from scripts.live.cache import CACHE


class Server(NamedTuple):
    """How one server is started, and the request that proves it works.

    `weights` is the folder of the model in `tests/models`, if that is not named after the server; `order` is
    the file in it that is put before its chat template. An `extra` one is started only where it is named, and
    its model bears the name of its weights. `words` are tokens that its tokenizer gets beside its own, and
    `environment` are variables of its own.
    """

    flags: str
    path: str
    body: bytes
    content_type: str = "application/json"
    weights: str = ""
    order: str = ""
    extra: bool = False
    words: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def chat(model: str) -> bytes:
    """A chat request that also asks for logprobs, once the slowest part of a first request."""
    messages = [{"role": "user", "content": "Say: hello"}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 8, "logprobs": True}).encode()


def transcription(model: str) -> bytes:
    """A form with a second of silence, its parts cut by `--cut`."""
    audio = io.BytesIO()
    with wave.open(audio, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(16000)
        clip.writeframes(bytes(2 * 16000))
    part = '--cut\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    form = part.format("model", model) + part.format("response_format", "verbose_json")
    form += part.format('file"; filename="silence.wav', "")[:-2]
    return form.encode() + audio.getvalue() + b"\r\n--cut--\r\n"


TOOLS = (
    "--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3"
    " --structured-outputs-config.backend xgrammar"  # guidance answers 400 to every tool_choice "required"
)
CHAT = f"--max-model-len 2048 --max-num-seqs 8 --enable-prompt-tokens-details {TOOLS}"
SERVERS = {
    "chat": Server(
        CHAT,
        "/v1/chat/completions",
        chat("tiny-chat"),
    ),
    "embed": Server(
        "--runner pooling --max-model-len 256 --max-num-seqs 16",
        "/v1/embeddings",
        b'{"model": "tiny-embed", "input": "hello"}',
    ),
    "rerank": Server(
        "--runner pooling --max-model-len 512 --max-num-seqs 16",
        "/v1/rerank",
        b'{"model": "tiny-rerank", "query": "hello", "documents": ["hello"]}',
    ),
    "whisper": Server(
        "--max-model-len 448 --max-num-seqs 2 --max-num-batched-tokens 4096",
        "/v1/audio/transcriptions",
        transcription("tiny-whisper"),
        "multipart/form-data; boundary=cut",
    ),
    "vision": Server(
        f"--model-impl transformers --max-model-len 2048 --max-num-seqs 4 {TOOLS}",
        "/v1/chat/completions",
        chat("tiny-vision"),
    ),
    # tiny-chat behind a template that refuses what is out of order, as Mistral's and Qwen 3.5's do.
    "strict": Server(
        f"--max-model-len 2048 --max-num-seqs 4 {TOOLS}",
        "/v1/chat/completions",
        chat("tiny-strict"),
        weights="tiny-chat",
        order="strict_order.jinja",
    ),
    # tiny-chat with every route that vLLM has for it. Decisions want each of their labels to be one token.
    "open": Server(
        f"{CHAT} --enable-scale-out --enable-tokenizer-info-endpoint --trust-request-chat-template"
        " --enable-lora --max-lora-rank 8 --max-cpu-loras 2",
        "/v1/chat/completions",
        chat("tiny-open"),
        weights="tiny-chat",
        words=("yes", "no"),
        environment=(("VLLM_SERVER_DEV_MODE", "1"), ("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1")),
    ),
    # tiny-chat once more, for what takes two servers of it; tests kill it and start it again.
    "twin": Server(CHAT, "/v1/chat/completions", chat("tiny-chat"), weights="tiny-chat", extra=True),
}
# Tells its traces to whoever listens there; a test does.
COLLECTOR_PORT = 43180
SERVERS["traced"] = Server(
    f"{CHAT} --otlp-traces-endpoint http://127.0.0.1:{COLLECTOR_PORT}/v1/traces",
    "/v1/chat/completions",
    chat("tiny-chat"),
    weights="tiny-chat",
    extra=True,
)
USUAL = [name for name, server in SERVERS.items() if not server.extra]
# The model runs in the engine's process. The default is one more process, and the two wait for each other in
# a loop of sched_yield(): on two cores, Linux 6.18 then lets other processes, the server's own HTTP process
# among them, wait for seconds. "uni" means the default here; the class's path means the class.
EXECUTOR = "--distributed-executor-backend vllm.v1.executor.uniproc_executor.UniProcExecutor"
ENVIRONMENT = {
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "200",  # milliseconds; else a test waits 5 s for a trace
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CACHE_ROOT": str(CACHE / "vllm"),
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # Else the first logprobs and the first verbose_json wait 10 to 20 s for a C++ compiler, and need one.
    "TORCH_COMPILE_DISABLE": "1",
}
