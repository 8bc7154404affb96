"""What the distributions declare about each other, and what an index shows of them."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from vllm_connect import __version__

ROOT = Path(__file__).parents[2]
INTEGRATIONS = sorted(file.parent for file in (ROOT / "integrations").glob("*/pyproject.toml"))
PACKAGES = [ROOT, *INTEGRATIONS]


def test_the_version_is_the_installed_one() -> None:
    assert version("vllm-connect") == __version__


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_version_has_one_place(package: Path) -> None:
    text = (package / "pyproject.toml").read_text()
    path = re.search(r'^\[tool\.hatch\.version\]\npath = "(.*?)"', text, re.MULTILINE)
    assert path is not None
    assert (package / path[1]).resolve() == ROOT / "src" / "vllm_connect" / "_version.py"


@pytest.mark.parametrize("package", INTEGRATIONS, ids=lambda package: package.name)
def test_an_integration_takes_the_core_of_its_own_minor_version(package: Path) -> None:
    major, minor, *_ = __version__.split(".")
    requirement = f'"vllm-connect>={major}.{minor},<{major}.{int(minor) + 1}"'
    assert requirement in (package / "pyproject.toml").read_text()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_readme_needs_no_file_beside_it(package: Path) -> None:
    # Pictures are left out of what the package index shows, which `make release` proves.
    targets = re.findall(r"(?<!!)\[[^\]]*\]\((.*?)\)", (package / "README.md").read_text())
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_every_integration_is_released() -> None:
    makefile = (ROOT / "Makefile").read_text()
    packages = re.search(r"^PACKAGES := (.*)$", makefile, re.MULTILINE)
    assert packages is not None
    assert packages[1].split() == [".", *(str(package.relative_to(ROOT)) for package in INTEGRATIONS)]


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
