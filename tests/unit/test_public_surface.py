"""The public surface: one list in three places, each name where it is said to be, and all of them in the document."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

import app

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "app" / "__init__.py"
DOCUMENT: Final = ROOT / "docs" / "embedding.md"
REFERENCE: Final = ROOT / "docs" / "api-reference.md"


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(SOURCE.read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {name.name: f".{node.module}" for node in imports for name in node.names}
    assert seen == {name: module for module, names in app._PLACES.items() for name in names}
    assert sorted(app.__all__) == sorted(seen)


@pytest.mark.parametrize("name", app.__all__)
def test_a_public_name_is_there_and_is_documented(name: str) -> None:
    assert getattr(app, name) is not None
    assert name in dir(app)
    assert re.search(rf"`{name}\b", DOCUMENT.read_text()), f"docs/embedding.md does not tell of {name}"


def test_the_reference_has_each_public_name_once() -> None:
    told = re.findall(r"^::: parakeet_stt\.(\w+)$", REFERENCE.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(app.__all__)


def test_another_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'transcribe_all'"):
        _ = app.transcribe_all
