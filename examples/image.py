"""A picture in a question, for a model that sees: image.py FILE.png"""

import base64
import sys
from pathlib import Path

from vllm_connect import VLLM

client = VLLM()
data = base64.b64encode(Path(sys.argv[1]).read_bytes()).decode()
content = [
    {"type": "text", "text": "What is on this picture?"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
]
answer = client.chat.completions.create(messages=[{"role": "user", "content": content}])
print(answer.choices[0].message.content)
