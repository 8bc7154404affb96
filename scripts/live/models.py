"""The models of the servers as they are served: some with words added, some told to an older transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scripts.live.cache import CACHE
from scripts.live.environment import VENV
from scripts.live.servers import SERVERS

MODELS = Path(__file__).resolve().parents[2] / "tests" / "models"


def model_of(name: str) -> Path:
    """The folder of the model that a server loads."""
    server = SERVERS[name]
    model = (CACHE / "models" if name == "embed" else MODELS) / (server.weights or f"tiny-{name}")
    is_old = has_transformers_4()
    if not server.words and not is_old:
        return model
    target = CACHE / "models" / f"{model.name}-{name}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(model, target)
    if server.words:
        add_words(target, server.words)
    if is_old:
        tell_transformers_4(target)
    return target


def add_words(model: Path, words: tuple[str, ...]) -> None:
    """Make some words tokens of their own; the vocabulary has room."""
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    taken = {*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])}
    marks = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    for number, word in enumerate(words, max(taken) + 1):
        tokenizer["added_tokens"].append({"id": number, "content": word, "normalized": True, **marks})
    file.write_text(json.dumps(tokenizer, ensure_ascii=False))


def has_transformers_4() -> bool:
    """Whether this release of vLLM came before transformers 5, in whose words the models are configured."""
    return any(VENV.glob("lib/python*/site-packages/transformers-4.*.dist-info"))


def tell_transformers_4(model: Path) -> None:
    """Say what transformers 5 calls otherwise in the words of transformers 4."""
    file = model / "config.json"
    config: dict[str, Any] = json.loads(file.read_text())
    for part in (config, config.get("text_config", {})):
        if "rope_parameters" in part:
            part["rope_theta"] = part["rope_parameters"]["rope_theta"]
    file.write_text(json.dumps(config))
    file = model / "tokenizer_config.json"
    tokenizer: dict[str, Any] = json.loads(file.read_text())
    if tokenizer["tokenizer_class"] == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    file.write_text(json.dumps(tokenizer))
