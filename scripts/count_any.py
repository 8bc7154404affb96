"""Count the word `Any` per thousand lines of Python, and fail above a bound.

python -m scripts.count_any src/vllm_connect --without sim cli --most 20
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_ANY = re.compile(r"\bAny\b")


class Count(NamedTuple):
    """What was found below a folder.

    Attributes:
        words: how often the word is there, imports included.
        lines: how many lines there are, empty ones included.
    """

    words: int
    lines: int

    @property
    def per_thousand(self) -> float:
        """Words per thousand lines."""
        return 1000 * self.words / max(1, self.lines)


def count(root: Path, without: Collection[str] = ()) -> Count:
    """Count below a folder.

    Args:
        root: the folder.
        without: names of folders directly below it that are left out.
    """
    words = lines = 0
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in without:
            text = path.read_text("utf-8")
            words += len(_ANY.findall(text))
            lines += text.count("\n")
    return Count(words, lines)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder")
    parser.add_argument("--without", nargs="*", default=[], help="folders below it that are left out")
    parser.add_argument("--most", type=float, help="the bound, per thousand lines")
    arguments = parser.parse_args()
    found = count(arguments.root, arguments.without)
    print(f"{arguments.root}: {found.words} in {found.lines} lines, {found.per_thousand:.1f} per thousand")
    return int(arguments.most is not None and found.per_thousand > arguments.most)


if __name__ == "__main__":
    sys.exit(main())
