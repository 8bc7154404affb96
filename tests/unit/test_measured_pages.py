"""What `make bench…` measures finds its place in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import pages
from benchmarks.__main__ import picture, table
from benchmarks.bulk.memory import Point, growth
from benchmarks.machine import caption, machine
from benchmarks.pictures import line
from benchmarks.scenarios import OURS, STOCK, Row

PLACE = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- /measured -->", re.DOTALL)
ROWS = [
    Row("a chunk", STOCK, "µs", 88.5, 6.51, 8, True),
    Row("import <now>", STOCK, "ms", 786, 787, 50, False),
    Row("choosing", STOCK, "us", 0.01, 4.7, 15, False),
]


def test_every_place_is_there_once_and_has_a_program() -> None:
    places = [name for page in pages.DOCS.glob("*.md") for name in PLACE.findall(page.read_text("utf-8"))]
    assert sorted(places) == sorted(set(places))
    sources = [path.read_text("utf-8") for path in Path(pages.REPOSITORY, "benchmarks").rglob("*.py")]
    for name in places:
        assert any(f'"{name}"' in source for source in sources), name
    assert {"client", "bulk_gather", "bulk_memory", "bulk_ray", "bulk_resume", "bulk_throughput"} <= {*places}


def test_a_place_is_filled_anew_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    page = tmp_path / "a.md"
    page.write_text("# A\n<!-- measured: x -->\nold \\1\n<!-- /measured -->\nend\n", "utf-8")
    for _ in range(2):
        pages.write("a.md", "x", "new \\1\n")
    assert page.read_text("utf-8") == "# A\n<!-- measured: x -->\n\nnew \\1\n\n<!-- /measured -->\nend\n"
    with pytest.raises(ValueError, match="has 0 places for 'y', not one"):
        pages.write("a.md", "y", "")


def test_pictures_are_xml_and_say_where_it_was() -> None:
    here = machine("openai")
    svg = ElementTree.fromstring(picture(ROWS, here))
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a chunk", "13.6× less", "88.5 µs", "6.51 µs", STOCK, OURS, caption(here)} <= {*texts}
    assert "import <now>" not in texts  # no CPU time that both sides have
    ElementTree.fromstring(line("Memory", caption(here), [(0, 60), (10, 66)], "10 rows", "MB", most=100))


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(ROWS).splitlines()[2:] == [
        "| a chunk | 88.5 µs | 6.51 µs | 13.6× less |",
        "| import <now> | 786 ms | 787 ms |  |",
        "| choosing |  | 4.70 us |  |",
    ]


def test_growth_is_that_after_the_first_tenth() -> None:
    held = [50, 60, *(61 for _ in range(8)), 64]
    assert growth([Point(10 * place, size, 0, 0) for place, size in enumerate(held)]) == 4
