"""Pin what an environment's dependencies resolve to now: `make lock` does so for all of them.

    lock.py PYTHON3.10 PYTHON FOLDER CONSTRAINTS REQUIREMENT...

Some packages have left Python 3.10 behind, so two interpreters resolve, the oldest supported and a newer
one, each in an empty environment. The file CONSTRAINTS carries versions only; FOLDER, where `make-venv` puts
the environment, is not looked at.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

OURS = ("vllm-connect", "langchain-vllm", "llama-index-vllm-connect")


def resolve(python: str, requirements: list[str]) -> dict[str, str]:
    """Install into an empty environment, and tell the version of every package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        packages = [each for each in requirements if each != "--editable"]
        subprocess.run([*pip, "install", "--quiet", *packages], check=True)
        command = [*pip, "list", "--format=freeze"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pins = dict(line.split("==") for line in listed.splitlines())
    return {name: version for name, version in pins.items() if name not in (*OURS, "pip", "setuptools")}


def main(oldest: str, newer: str, _folder: str, constraints: str, *requirements: str) -> None:
    """Write the file."""
    old, new = resolve(oldest, list(requirements)), resolve(newer, list(requirements))
    lines = []
    for name in sorted(old.keys() | new.keys(), key=str.lower):
        if old.get(name) == new.get(name):
            lines.append(f"{name}=={new[name]}")
            continue
        if name in old:
            lines.append(f'{name}=={old[name]} ; python_version < "3.11"')
        if name in new:
            lines.append(f'{name}=={new[name]} ; python_version >= "3.11"')
    Path(constraints).write_text("\n".join(lines) + "\n")
    print(f"lock: {constraints}: {len(lines)} lines")


if __name__ == "__main__":
    main(*sys.argv[1:])
