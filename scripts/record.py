"""Record the cassettes of vllm-connect and langchain-vllm anew, from real vLLM servers.

    python -m scripts.live run -- python scripts/record.py              all of them (`make record`)
    python -m scripts.live run -- python scripts/record.py -k Rerank    vllm-connect's that pytest picks

The servers are those of `scripts/live`, which names them in VLLM_LIVE_*_URL. Every test body runs once,
with the sync client, and overwrites its cassette in `cassettes/`; then everything is replayed, so that what
the async client asks for is held against what was recorded. Ends with pytest's exit code.

When all were recorded, those that no body recorded are removed, and langchain-vllm's standard tests are
recorded with the Python of `.venv-langchain`. Look at `git diff --stat` before you commit: ids and times
always change, words and numbers of the tiny models should not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CASSETTES = REPOSITORY / "cassettes" / "operations"
LANGCHAIN = REPOSITORY / "integrations" / "langchain-vllm"
ABOUT_CASSETTES = "--ignore=tests/operations/test_completeness.py"
SERVERS = ("chat", "embed", "rerank", "whisper", "vision", "open")


def main() -> int:
    """Record, tidy up, replay."""
    missing = [name for name in SERVERS if not os.environ.get(f"VLLM_LIVE_{name.upper()}_URL")]
    if missing:
        raise SystemExit(
            f"record: no server for {', '.join(missing)}; python -m scripts.live run -- {sys.argv[0]}"
        )
    picked = sys.argv[1:]
    began = time.time()
    if failed := pytest("tests/operations", ABOUT_CASSETTES, "--record-mode=rewrite", *picked):
        return failed
    if not picked:
        for file in CASSETTES.rglob("*.yaml"):
            if file.stat().st_mtime < began - 1:
                print(f"record: removed {file.relative_to(REPOSITORY)}, which no test records any more")
                file.unlink()
        if failed := record_langchain():
            return failed
    return pytest("tests/operations", *picked)


def record_langchain() -> int:
    """Record langchain-vllm's cassettes, and replay them."""
    python = str(REPOSITORY / ".venv-langchain" / "bin" / "python")
    tests = LANGCHAIN / "tests" / "cassette_tests"
    shutil.rmtree(tests / "cassettes", ignore_errors=True)
    # LangChain's tests leave open what vcrpy can listen to, the stock HTTP clients.
    leave_open = ["-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    for mode in (["--record-mode=rewrite", *leave_open], ["--record-mode=none"]):
        command = [python, "-X", "utf8", "-m", "pytest", "-q", str(tests), *mode]
        if failed := subprocess.run(command, cwd=LANGCHAIN).returncode:
            return failed
    return 0


def pytest(*arguments: str) -> int:
    """Run pytest in the repository, with UTF-8 as the encoding of files on every platform."""
    command = [sys.executable, "-X", "utf8", "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, cwd=REPOSITORY).returncode


if __name__ == "__main__":
    sys.exit(main())
