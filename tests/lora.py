"""A LoRA adapter for tiny-chat, made on the spot."""

from __future__ import annotations

import json
import struct
from pathlib import Path

WIDTH, OUT = 192, 192


def write_adapter(folder: Path) -> None:
    """Write an adapter of rank 1 for one projection of tiny-chat, as peft would."""
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["o_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.layers.0.self_attn.o_proj.lora_{}.weight"
    tensors = {name.format("A"): ([1, WIDTH], 0.1), name.format("B"): ([OUT, 1], 0.1)}
    header, data = {}, b""
    for tensor, (shape, value) in tensors.items():
        content = struct.pack("<f", value) * (shape[0] * shape[1])
        header[tensor] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    head = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
