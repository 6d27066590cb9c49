"""The wiring: every part can be built, settings arrive where they belong, and nothing heavy is imported before it is needed."""

import gc
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from dependency_injector import providers

from app.container import Container, replica_plan, replica_recognizer
from app.domain.audio import Clip
from app.domain.engine import Engine
from app.domain.errors import ModelUnavailableError
from app.domain.ports import Options
from app.domain.transcriber import Transcriber
from app.settings import Settings
from app.testing.fakes import FakeNormalizer, FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer

REPOSITORY: Final = Path(__file__).parents[2]
ADAPTERS: Final = {"recognizer": FakeRecognizer, "detector": FakeVoiceDetector, "normalizer": FakeNormalizer}


def make_container(settings: Settings) -> Container:
    container = Container(settings=settings)
    for name, fake in ADAPTERS.items():
        container.providers[name].override(providers.Object(fake()))
    return container


def test_every_provider_can_be_built_and_gives_one_object() -> None:
    container = make_container(Settings())
    built = {name: provider() for name, provider in container.providers.items()}
    assert set(built) == {*ADAPTERS, "settings", "engine", "transcriber", "parts", "decodes", "own_process"}
    assert built["settings"] == Settings()
    assert isinstance(built["engine"], Engine)
    assert isinstance(built["transcriber"], Transcriber)
    assert all(provider() is built[name] for name, provider in container.providers.items())


def test_the_engine_loads_every_adapter() -> None:
    container = make_container(Settings())
    loaded: list[str] = []

    def load(name: str) -> object:
        loaded.append(name)
        return ADAPTERS[name]()

    for name in ADAPTERS:
        container.providers[name].override(providers.Callable(load, name))
    engine = container.engine()
    assert loaded == []
    engine.start()
    assert isinstance(engine.loaded.result(30), FakeRecognizer)
    engine.close()
    assert sorted(loaded) == sorted(ADAPTERS)


@pytest.mark.parametrize("alone", [True, False])
def test_python_s_collector_passes_over_a_loaded_model_where_the_process_is_ours(*, alone: bool) -> None:
    container = make_container(Settings())
    container.own_process.override(providers.Object(alone))
    engine = container.engine()
    engine.start()
    engine.loaded.result(30)
    n_frozen = gc.get_freeze_count()
    gc.unfreeze()
    engine.close()
    assert bool(n_frozen) is alone


def test_two_containers_share_nothing() -> None:
    assert make_container(Settings()).engine() is not make_container(Settings()).engine()


def test_a_container_without_settings_is_refused() -> None:
    with pytest.raises(Exception, match="settings"):
        Container().engine()


def test_importing_and_wiring_load_no_model_runtime() -> None:
    code = (
        "import sys; from app.container import Container; from app.entrypoints.app import create_app; "
        "from app.settings import Settings; create_app(Container(settings=Settings())); "
        "print([name for name in ('torch', 'torchaudio', 'nemo', 'silero_vad', 'av', 'ray') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def made_here(settings: Settings) -> FakeRecognizer:
    return FakeRecognizer(says=settings.model)


def test_a_recogniser_of_another_make_is_built_from_the_settings() -> None:
    recognizer = Container(settings=Settings(recognizer=f"{__name__}:made_here", model="mine")).recognizer()
    assert isinstance(recognizer, FakeRecognizer)
    (heard,) = recognizer.recognize([Clip(np.ones(16_000, np.float32))], [Options()])
    assert heard.text == "mine"


def test_replicas_get_the_settings_of_the_model_and_no_secret() -> None:
    plan = replica_plan(Settings(replicas=3, recognizer=f"{__name__}:made_here", model="mine", api_keys=("secret",)))
    assert set(plan.environment) == {"STT_MODEL", "STT_RECOGNIZER", "STT_DEVICE", "STT_PRECISION"}
    assert plan.replicas == 3
    assert plan.factory == f"{replica_recognizer.__module__}:replica_recognizer"
    made = replica_recognizer(plan.environment)
    n_frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert n_frozen
    assert isinstance(made, FakeRecognizer)
    assert made.recognize([Clip(np.ones(16_000, np.float32))], [Options()])[0].text == "mine"


@pytest.mark.skipif(find_spec("ray") is not None, reason="the extra `ray` is installed")
def test_replicas_without_their_extra_are_refused_with_what_to_install() -> None:
    with pytest.raises(ModelUnavailableError, match=r"parakeet-stt\[ray\]"):
        Container(settings=Settings(replicas=1)).recognizer()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere.at.all:make", "cannot be imported: No module named 'nowhere'"),
        (f"{__name__}:nobody", "cannot be imported: .* has no attribute 'nobody'"),
        (f"{__name__}:REPOSITORY.name", "names nothing that can be called"),
        ("builtins:repr", "made a str, which has no facts, configuration, device_memory, recognize"),
    ],
)
def test_what_is_no_recogniser_is_refused_with_the_setting_and_the_reason(place: str, told: str) -> None:
    with pytest.raises(ModelUnavailableError, match=f"STT_RECOGNIZER={place} {told}"):
        Container(settings=Settings(recognizer=place)).recognizer()
