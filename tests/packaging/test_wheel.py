"""The wheel, as another service installs it: no `app` in it, and none disturbed beside it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
_IMPORT_ALL: Final = """
import importlib, pkgutil, sys
import parakeet_stt
assert parakeet_stt.__file__.startswith(sys.argv[1]), parakeet_stt.__file__
names = [found.name for found in pkgutil.walk_packages(parakeet_stt.__path__, "parakeet_stt.")]
names.remove("parakeet_stt.__main__")
made_of_torch = "parakeet_stt.adapters.nemo.layers"  # its classes are torch's; it is imported when a model is loaded
names.remove(made_of_torch)
for name in names:
    importlib.import_module(name)
print(len(names), "torch" in sys.modules, "nemo" in sys.modules)
importlib.import_module(made_of_torch)
"""
_IMPORT_BARE: Final = """
import sys
import parakeet_stt
heavy = ("numpy", "msgspec", "litestar", "torch", "torchaudio", "nemo", "silero_vad", "av")
print([name for name in heavy if name in sys.modules], end=" ")
for name in parakeet_stt.__all__:
    getattr(parakeet_stt, name)
print([name for name in heavy[3:] if name in sys.modules])
"""
_RUN_PYTEST: Final = """
import os, sys
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
import pytest
sys.exit(pytest.main(["-c", "/dev/null", "--rootdir", ".", *sys.argv[1:]]))
"""
_RUN_EXAMPLES: Final = """
import os, sys, time
import app
from litestar.testing import TestClient
os.environ["STT_RECOGNIZER"] = "telephone_keys:TelephoneKeys"  # no model to load: this is about the mount
os.environ["STT_API_KEYS"] = "sesame"
for name in ("mounted_in_starlette", "mounted_in_litestar"):
    with TestClient(__import__(name).app) as client:
        home = client.get("/")
        print(name, home.status_code, home.text.strip())
        while client.get("/speech/readyz").status_code == 503:
            time.sleep(0.05)
        health, ready = client.get("/speech/healthz"), client.get("/speech/readyz")
        print(name, health.status_code, health.json(), ready.status_code, ready.json()["model"])
        refused = client.get("/speech/v1/models")
        print(name, refused.status_code, refused.json()["error"]["code"])
        client.headers["authorization"] = "Bearer sesame"
        heard = client.post("/speech/v1/audio/transcriptions", files={"file": open(sys.argv[1], "rb")})
        print(name, heard.status_code, heard.json())
        with client.websocket_connect("/speech/ws") as socket:
            socket.send_text('{"type": "finish"}')
            print(name, socket.receive_json())
__import__("embedded").main(sys.argv[1])
print(app.OWNER)
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
        "entrypoints/http/static/index.html",
        "entrypoints/http/static/page.js",
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


def test_importing_the_package_loads_nothing_and_its_names_load_no_model_runtime(installed: Path, tmp_path: Path) -> None:
    assert python(_IMPORT_BARE, path=[installed], cwd=tmp_path) == "[] []\n"


def test_importing_the_package_is_quick(installed: Path, tmp_path: Path) -> None:
    code = "from time import process_time as now; begun = now(); import parakeet_stt; print(now() - begun)"
    assert any(float(python(code, path=[installed], cwd=tmp_path)) < 0.15 for _ in range(10))  # beside whatever else runs here


def test_each_adapter_comes_without_the_others(installed: Path, tmp_path: Path) -> None:
    others = {
        "SileroVoiceDetector": ("nemo", "av", "litestar", "dependency_injector", "structlog"),
        "TorchaudioNormalizer": ("nemo", "silero_vad", "litestar", "dependency_injector", "structlog"),
    }
    for name, foreign in others.items():
        code = f"import sys, parakeet_stt; parakeet_stt.{name}(); print([n for n in {foreign!r} if n in sys.modules])"
        assert python(code, path=[installed], cwd=tmp_path) == "[]\n", name


def test_the_examples_run_in_a_service_with_an_app_of_its_own(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("OWNER = 'somebody else'\n")
    told = python(_RUN_EXAMPLES, str(ROOT / "app" / "samples" / "hello.wav"), path=[tmp_path, installed, EXAMPLES], cwd=tmp_path)
    *lines, owner = told.splitlines()
    assert owner == "somebody else"
    assert lines[:10] == [
        "mounted_in_starlette 200 speech is at /speech",
        "mounted_in_starlette 200 {'status': 'ok'} 200 telephone-keys",
        "mounted_in_starlette 401 invalid_api_key",
        "mounted_in_starlette 200 {'text': '', 'usage': {'type': 'duration', 'seconds': 3.42}}",
        "mounted_in_starlette {'status': 'finished'}",
        "mounted_in_litestar 200 speech is at /speech",
        "mounted_in_litestar 200 {'status': 'ok'} 200 telephone-keys",
        "mounted_in_litestar 401 invalid_api_key",
        "mounted_in_litestar 200 {'text': '', 'usage': {'type': 'duration', 'seconds': 3.42}}",
        "mounted_in_litestar {'status': 'finished'}",
    ]
    assert lines[10] == "file: "  # nobody presses telephone keys in it, but somebody speaks
    assert all(re.fullmatch(r"\d\.\d-\d\.\d s: ", line) for line in lines[11:])
    assert len(lines) > 11


def test_the_example_of_a_recogniser_is_short_and_passes_the_contract_suite_that_is_shipped(
    installed: Path, tmp_path: Path
) -> None:
    assert len((EXAMPLES / "telephone_keys.py").read_text().splitlines()) < 60
    suite = str(EXAMPLES / "test_telephone_keys.py")
    told = python(_RUN_PYTEST, suite, "--noconftest", "-p", "no:cacheprovider", "-q", path=[installed, EXAMPLES], cwd=tmp_path)
    assert "14 passed" in told
