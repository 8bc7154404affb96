"""Speech to text, as it is heard: transcribe.py FILE.wav"""

import sys
from pathlib import Path

from vllm_connect import VLLM

client = VLLM()
for event in client.audio.transcriptions.create(file=Path(sys.argv[1]), stream=True):
    if event.type == "transcript.text.delta":
        print(event.delta, end="", flush=True)
    else:
        print(f"\nin all: {event.text!r}")
