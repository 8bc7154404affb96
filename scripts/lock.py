"""Pin what the dependencies resolve to now, once for each major of the openai SDK: `make lock`.

Some packages have left Python 3.10 behind, so two interpreters resolve, the oldest supported and a
newer one: `lock.py PYTHON3.10 PYTHON`. The files carry versions only.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

FILES = {3: Path("constraints.txt"), 2: Path("constraints-openai2.txt")}


def resolve(python: str, major: int) -> dict[str, str]:
    """Install into an empty environment, and tell the version of every package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", ".[dev]", f"openai<{major + 1}"], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    pins = (line.split("==") for line in frozen.splitlines() if "==" in line)
    return {name: version for name, version in pins if name != "vllm-connect"}


def main(oldest: str, newer: str) -> None:
    """Write both files."""
    for major, file in FILES.items():
        old, new = resolve(oldest, major), resolve(newer, major)
        lines = []
        for name in sorted(old.keys() | new.keys(), key=str.lower):
            if old.get(name) == new.get(name):
                lines.append(f"{name}=={new[name]}")
                continue
            if name in old:
                lines.append(f'{name}=={old[name]} ; python_version < "3.11"')
            if name in new:
                lines.append(f'{name}=={new[name]} ; python_version >= "3.11"')
        file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
