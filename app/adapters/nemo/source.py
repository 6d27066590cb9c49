"""Where a model file comes from: the package, a path, or the hub at a pinned revision and hash."""

import hashlib
import math
import re
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ...domain.errors import ModelUnavailableError

BUNDLED: Final = "bundled"
PRODUCTION: Final = "nvidia/parakeet-tdt-0.6b-v2"
_BUNDLED_FILE: Final = Path(__file__).parent / "bundled" / "parakeet-tdt-demo.nemo"
_BUNDLED_LONGEST_CLIP_S: Final = 6.0  # it was taught single sentences, and loses itself in more of them
_HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")
_PINNED: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)#(?P<sha256>[0-9a-fA-F]{64})")
_WAYS_OUT: Final = "set STT_MODEL=bundled for the demonstration model inside the package, or STT_MODEL to the path of a .nemo file"


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A `.nemo` file that may be opened: inside the package, named by the operator, or checked against its pinned hash."""

    path: Path
    model_id: str
    demonstration: bool = False
    longest_clip_s: float = math.inf  # what the model has learned to hear at once


class HubModel(msgspec.Struct, frozen=True, kw_only=True):
    """One file on the hub that cannot change: `revision` names it, `sha256` (lower-case hex) proves it."""

    repo: str  # owner/name; the file in it is `<name>.nemo`
    revision: str
    sha256: str
    about_bytes: int | None = None

    @property
    def file_name(self) -> str:
        return f"{self.repo.partition('/')[2]}.nemo"


class Progress(Protocol):
    """Is told what a long start-up does, as past-tense events with facts, so that whoever waits can see why."""

    def __call__(self, event: str, **facts: str | float) -> None: ...


PINS: Final = {  # stated alike in several public repositories; CC-BY-4.0
    PRODUCTION: HubModel(
        repo=PRODUCTION,
        revision="ae9ad07059c7c739ffaf932226a8fe64ae2620b0",
        sha256="d99e39955c9d3d0350d8fb7c75e40c64a2b2eaeb003883d7c941fd2e8747b28c",
        about_bytes=2_470_000_000,
    )
}


def unheard(event: str, **facts: str | float) -> None:
    """The `Progress` of who does not care."""


def locate(model: str, *, on_progress: Progress = unheard, endpoint: str | None = None, cache_dir: Path | None = None) -> ModelFile:
    """Find the file of a model, downloading it where that is needed.

    Args:
        model: `bundled`; the path of a `.nemo` file, trusted as it is; `nvidia/parakeet-tdt-0.6b-v2`; or any other hub
            model as `owner/name@revision#sha256`, the hash in hex and of the file `<name>.nemo`.
        on_progress: Hears `model_found_in_cache`, or `model_download_started` and `model_download_finished`.
        endpoint: The hub's address; None is what HF_ENDPOINT says, or the public hub.
        cache_dir: The hub cache; None is what HF_HUB_CACHE or HF_HOME say, or the library's default.

    Raises:
        ModelUnavailableError: There is no such file, the hub cannot give it, or it is not the file the hash names; it
            was then not opened. NeMo unpickles checkpoints, so an unchecked one could run anything.
    """
    found = known(model)
    if isinstance(found, ModelFile):
        return found
    return ModelFile(path=_fetched(found, on_progress, endpoint, cache_dir), model_id=found.repo)


def known(model: str) -> ModelFile | HubModel:
    """Return the file of a model that is no matter of the hub, or what is to be had there; nothing is asked and nothing read.

    Raises:
        ModelUnavailableError: There is no such file, and no such name.
    """
    if model == BUNDLED:
        if not _BUNDLED_FILE.is_file():
            raise ModelUnavailableError(
                f"this installation lacks the bundled model ({_BUNDLED_FILE.name}); install the package again"
            )
        return ModelFile(
            path=_BUNDLED_FILE, model_id=_BUNDLED_FILE.stem, demonstration=True, longest_clip_s=_BUNDLED_LONGEST_CLIP_S
        )
    if (path := Path(model).expanduser()).is_file():
        if path.suffix != ".nemo":
            raise ModelUnavailableError(f"{model} is not a .nemo file; {_WAYS_OUT}")
        return ModelFile(path=path, model_id=path.stem)
    return _pin(model)


def _pin(model: str) -> HubModel:
    if model in PINS:
        return PINS[model]
    if found := _PINNED.fullmatch(model):
        return HubModel(repo=found["repo"], revision=found["revision"], sha256=found["sha256"].lower())
    if _HUB_NAME.fullmatch(model) and not model.endswith(".nemo") and not model.startswith("."):
        raise ModelUnavailableError(
            f"the hub model {model} is not pinned: write {model}@<revision>#<sha256 of {model.partition('/')[2]}.nemo>, "
            f"so that nothing but that file is ever opened; or {_WAYS_OUT}"
        )
    raise ModelUnavailableError(f"there is no model file at {model}; {_WAYS_OUT}, or to {PRODUCTION}")


def cached_path(pin: HubModel, cache_dir: Path | None = None) -> Path | None:
    """Return where a hub model lies in the cache, None if it does not."""
    from huggingface_hub import try_to_load_from_cache  # late: half a second, and only a hub model needs it

    cached = try_to_load_from_cache(pin.repo, pin.file_name, cache_dir=cache_dir, revision=pin.revision)
    return Path(cached) if isinstance(cached, str) else None


def _fetched(pin: HubModel, on_progress: Progress, endpoint: str | None, cache_dir: Path | None) -> Path:
    from huggingface_hub import hf_hub_download

    if cached := cached_path(pin, cache_dir):
        on_progress("model_found_in_cache", model_id=pin.repo, revision=pin.revision)
        return checked(cached, pin)
    on_progress("model_download_started", model_id=pin.repo, revision=pin.revision)
    try:
        # A transfer that breaks is taken up where it broke while this call lasts; the library keeps no half file for the next.
        path = Path(hf_hub_download(pin.repo, pin.file_name, revision=pin.revision, endpoint=endpoint, cache_dir=cache_dir))
    except Exception as exc:  # the library raises its own errors, its HTTP client's, its Rust part's and OSError
        raise ModelUnavailableError(_explained(exc, pin)) from exc
    on_progress("model_download_finished", model_id=pin.repo, size_bytes=path.stat().st_size)
    return checked(path, pin)


def checked(path: Path, pin: HubModel) -> Path:
    """Return `path` if it is the file that `pin` names.

    Raises:
        ModelUnavailableError: It is another; it was read, not opened.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin.sha256:
        raise ModelUnavailableError(
            f"{path} is not the pinned file of {pin.repo}: expected SHA-256 {pin.sha256}, found {found}. "
            f"It was not opened; delete it to download it again, or {_WAYS_OUT}"
        )
    return path


def _explained(exc: Exception, pin: HubModel) -> str:
    from huggingface_hub import errors

    what = f"the model {pin.repo} (revision {pin.revision})"
    if isinstance(exc, errors.OfflineModeIsEnabled) or isinstance(exc.__cause__, errors.OfflineModeIsEnabled):
        why = "is not in the hub cache, and HF_HUB_OFFLINE forbids to download it: unset it, point HF_HOME to a cache that holds it"
    elif isinstance(exc, errors.GatedRepoError):
        why = "asks for an account that may read it: set HF_TOKEN"
    elif isinstance(exc, errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
        why = f"is not on the hub as {pin.file_name}: check its name and revision, set HF_TOKEN if it is private"
    elif isinstance(exc, OSError) and exc.errno is not None:
        why = f"cannot be written to the hub cache ({exc.strerror}): point HF_HOME to a folder with room for it"
    else:
        why = (
            f"is not in the hub cache, and the hub did not give it ({type(exc).__name__}): check the network, "
            "set HF_ENDPOINT to a mirror, point HF_HOME to a cache that holds it"
        )
    return f"{what} {why}, or {_WAYS_OUT}"
