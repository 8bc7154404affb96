"""Pin what an environment's dependencies resolve to now: `make lock` does so for all of them.

    lock.py [--lowest] FOLDER CONSTRAINTS REQUIREMENT...

One resolution holds for every supported Python: where a package has left an old one behind, the file has a
line for each, with a marker. With `--lowest`, what the last of our packages requires is taken at the lowest
version that it declares; what only tests need, and what others require in turn, stays at the newest.

FOLDER, where `make-venv` puts the environment, is not looked at, so that both take the same arguments.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = ("vllm-connect", "langchain-vllm", "litellm-vllm-connect", "llama-index-vllm-connect")
OLDEST_PYTHON = "3.10"
FOR_TESTS = ("dev", "test", "bench", "release")  # extras


def resolve(requirements: list[str], *options: str) -> str:
    """Return the pins of these requirements, one a line, and who wants them, without our own packages."""
    command = ["scripts/uv", "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--no-header", "--annotation-style=line", *(f"--no-emit-package={name}" for name in OURS)]
    command += [*options, "-"]
    text = "\n".join(requirements)
    return subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True).stdout


def resolve_lowest(requirements: list[str]) -> str:
    """Return pins as `resolve` does, with what the last of our packages requires at its lowest."""
    ours = [_without_test_extras(each) for each in requirements if each.startswith(".")]
    package = OURS[0] if len(ours) == 1 else Path(ours[-1]).name
    wanted_by_it = re.compile(rf"# via (.*, )?{package}\b")
    pins = resolve(ours, "--resolution", "lowest-direct").splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as bounds:
        bounds.writelines(pin for pin in pins if wanted_by_it.search(pin))
        bounds.flush()
        return resolve(requirements, "--constraint", bounds.name)


def _without_test_extras(requirement: str) -> str:
    path, _, extras = requirement.rstrip("]").partition("[")
    kept = [extra for extra in re.findall(r"[\w-]+", extras) if extra not in FOR_TESTS]
    return f"{path}[{','.join(kept)}]" if kept else path


def main(_folder: str, constraints: str, *requirements: str, lowest: bool) -> None:
    """Write the file."""
    pins = (resolve_lowest if lowest else resolve)(list(requirements))
    pins = re.sub(r" *#.*", "", pins)
    Path(constraints).write_text(pins)
    print(f"lock: {constraints}: {len(pins.splitlines())} lines")


if __name__ == "__main__":
    main(*(each for each in sys.argv[1:] if each != "--lowest"), lowest="--lowest" in sys.argv)
