"""Count the word `Any` per thousand lines of Python, and fail above a bound. Other names of it count, too.

python -m scripts.count_any src/vllm_connect --without sim cli --most 20
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_ALIAS = re.compile(r"^(\w+)(?:: TypeAlias)? = Any$", re.MULTILINE)


class Count(NamedTuple):
    """What was found below a folder.

    Attributes:
        words: how often the word is there, or a name that stands for it, imports included.
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
    texts = [
        path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0] not in without
    ]
    aliases = {alias for text in texts for alias in _ALIAS.findall(text)}
    words = 0
    for text in texts:
        named = {alias for alias in aliases if _has(text, alias)}
        words += len(re.findall(rf"\b(?:{'|'.join(('Any', *named))})\b", text))
    return Count(words, sum(text.count("\n") for text in texts))


def _has(text: str, alias: str) -> bool:
    """Tell whether a module has an alias: made there, or imported. Other things may be called the same."""
    made = rf"^{alias}(?:: TypeAlias)? = Any$"
    imported = rf"^from \.[\w.]* import (?:[^\n(]*|\([^)]*)\b{alias}\b"
    return re.search(f"{made}|{imported}", text, re.MULTILINE) is not None


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
