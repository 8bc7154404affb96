"""Build every distribution, and prove that it works without this checkout: `make release`.

1. A source distribution, and from it a wheel, into an empty `dist/`.
2. Their metadata as the package index sees it (`twine check`), their version and size.
3. From the wheels alone into an empty environment each; there the first example of the package's README runs
   against the simulator.
4. The documentation's first page and the one on LangChain, walked in one more (see `newcomer.py`).
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from vllm_connect import __version__
from vllm_connect.sim import SimServer

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
PYTHON = sys.executable
UV = str(ROOT / "scripts" / "uv")
PAGES = ("index.md", "langchain.md")  # of a newcomer's walk
LIMIT = 2_000_000  # bytes of a distribution


def build(package: Path) -> list[Path]:
    """Build a package's source distribution and, from that, its wheel."""
    before = set(DIST.glob("*"))
    _run(PYTHON, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(package))
    built = sorted(set(DIST.glob("*")) - before)
    for file in built:
        size = file.stat().st_size
        print(f"{file.name}: {size // 1000} kB")
        if f"-{__version__}" not in file.name or size > LIMIT:
            raise SystemExit(f"{file.name}: must be of version {__version__} and at most {LIMIT} bytes")
    if len(built) != 2:
        raise SystemExit(f"{package}: a source distribution and a wheel were due, not {built}")
    wheel = next(file for file in built if file.suffix == ".whl")
    if targets := relative_targets(wheel):
        raise SystemExit(f"{wheel.name}: the package index would show links that lead nowhere: {targets}")
    return built


def relative_targets(wheel: Path) -> list[str]:
    """Return where links and pictures of a wheel's README lead that only this repository has."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    return [target for target in re.findall(r"\]\((.*?)\)", text) if not target.startswith(("https://", "#"))]


def environment(folder: Path, *options: str) -> str:
    """Make an empty environment; return its interpreter."""
    _run(UV, "venv", "--quiet", *options, "--python", PYTHON, str(folder))
    return str(folder / "bin" / "python")


def install(wheel: Path, folder: Path) -> str:
    """Install a wheel, and ours that it needs, into an empty environment; return its interpreter."""
    python = environment(folder)
    _run(UV, "pip", "install", "--quiet", "--python", python, "--find-links", str(DIST), str(wheel))
    return python


def first_example(readme: str) -> str:
    """Return the first Python example of a README."""
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    if example is None:
        raise SystemExit("the README has no example")
    return example[1]


def try_out(python: str, package: Path, folder: Path) -> None:
    """Run a package's first example with an interpreter, far from the checkout."""
    example = folder / "example.py"
    with SimServer(models=["llama", "bge", "bge-reranker"]) as server:
        text = first_example((package / "README.md").read_text())
        example.write_text(text.replace("http://localhost:8000", server.url))
        _run(python, "-I", str(example), folder=folder)
        if not server.requests:
            raise SystemExit(f"{package}: the first example asked the server nothing")


def _run(*command: str, folder: Path = ROOT) -> None:
    subprocess.run(command, cwd=folder, check=True)


def main(*packages: str) -> None:
    """Build, check and try out the packages in these folders; the core comes first."""
    shutil.rmtree(DIST, ignore_errors=True)
    built = {ROOT / package: build(ROOT / package) for package in packages}
    everything = [str(file) for files in built.values() for file in files]
    _run(PYTHON, "-m", "twine", "check", "--strict", *everything)
    for package, files in built.items():
        wheel = next(file for file in files if file.suffix == ".whl")
        print(f"\n{wheel.name}, in an empty environment:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try_out(install(wheel, Path(folder) / "venv"), package, Path(folder))
    print("\nA newcomer who knows LangChain:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder) / "venv", "--seed")  # with pip
        pages = [str(ROOT / "docs" / name) for name in PAGES]
        walk = str(ROOT / "scripts" / "newcomer.py")
        options = ("--until", "Several servers", "--find-links", str(DIST))
        _run(python, "-I", walk, *pages, *options, folder=Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
