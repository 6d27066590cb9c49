"""The wheel, as another service installs it: no `app` in it, and none disturbed beside it."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_IMPORT_ALL: Final = """
import importlib, pkgutil, sys
import parakeet_stt
assert parakeet_stt.__file__.startswith(sys.argv[1]), parakeet_stt.__file__
names = [found.name for found in pkgutil.walk_packages(parakeet_stt.__path__, "parakeet_stt.")]
names.remove("parakeet_stt.__main__")
for name in names:
    importlib.import_module(name)
print(len(names), "torch" in sys.modules, "nemo" in sys.modules)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(["uv", "build", "--wheel", "--quiet", "--out-dir", out, ROOT], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's own files alone, in a folder of their own; what it needs comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["uv", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def python(code: str, *arguments: str, path: list[Path], cwd: Path) -> str:
    environment = {"PYTHONPATH": ":".join(map(str, path)), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"parakeet_stt", f"{wheel.name.split('-py3')[0]}.dist-info"}
    for needed in (
        "py.typed",
        "samples/hello.wav",
        "adapters/nemo/bundled/parakeet-tdt-demo.nemo",
        "adapters/nemo/bundled/parakeet-tdt-demo.md",
    ):
        assert f"parakeet_stt/{needed}" in names
    assert wheel.stat().st_size < 20_000_000


def test_every_module_imports_without_app_and_without_loading_torch_or_nemo(installed: Path, tmp_path: Path) -> None:
    count, torch, nemo = python(_IMPORT_ALL, str(installed), path=[installed], cwd=tmp_path).split()
    assert int(count) > 40
    assert (torch, nemo) == ("False", "False")
    assert python("import importlib.util; print(importlib.util.find_spec('app'))", path=[installed], cwd=tmp_path) == "None\n"


def test_a_service_with_an_app_of_its_own_keeps_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("OWNER = 'somebody else'\n")
    code = "import app, parakeet_stt.entrypoints.app, parakeet_stt.container; print(app.OWNER)"
    assert python(code, path=[tmp_path, installed], cwd=tmp_path) == "somebody else\n"
