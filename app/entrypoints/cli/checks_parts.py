"""What `doctor` asks of the installation: packages, device, model and cache, decoding, voice detection, a microphone."""

import platform
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import as_file, files
from time import monotonic
from typing import Final

from ...domain.errors import SpeechError
from ...domain.ports import DecodeLimits
from ...settings import Settings, SettingsError
from .findings import Finding

_PACKAGE: Final = __package__.partition(".")[0]
INSTALL: Final = "pip install 'parakeet-stt[nemo,silero,torchaudio,server]'"
_WANTED: Final = ("torch", "nemo_toolkit", "silero-vad", "av", "litestar", "granian", "dependency-injector", "structlog", "httpx")


def packages(settings: Settings) -> Iterator[Finding]:
    """Tell the versions, and which packages are missing."""
    yield Finding(topic="python", told=f"{platform.python_version()} at {sys.executable}")
    found, missing = [f"parakeet-stt {version('parakeet-stt')}"], []
    for name in (*_WANTED, "ray") if settings.replicas else _WANTED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding(topic="packages", told=", ".join(found))
    if missing:
        fix = INSTALL.replace("server", "server,ray") if settings.replicas else INSTALL
        yield Finding(topic="packages", state="failure", told=f"not installed: {', '.join(missing)}", fix=fix)


def named_files(settings: Settings) -> Iterator[Finding]:
    """Try what the settings name beside the model: certificates, keys, the way of traces."""
    from ..traces import check_traces
    from .serve import check_files

    try:
        check_files(settings)
        check_traces(settings)
    except SettingsError as fault:
        yield Finding(topic="settings", state="failure", told=str(fault), fix="`parakeet-stt settings` tells where each comes from")


def device(settings: Settings) -> Iterator[Finding]:
    """Choose the device as the service does; that of replicas is on other machines."""
    from ...container import device_entries

    if settings.recognizer != "nemo" or settings.replicas:
        return
    try:
        entries = device_entries(settings)
    except SpeechError as fault:
        yield Finding(topic="device", state="failure", told=str(fault), fix="set STT_DEVICE=auto and STT_PRECISION=auto")
        return
    for found in entries:
        told = f"{found.device}, {found.precision}" + (f": {found.told}" if found.told else "")
        if found.doubt:
            fix = "install a driver of the generation that torch is built for (R580 or newer for CUDA 13), or set STT_DEVICE=cpu"
            yield Finding(topic="device", state="warning", told=f"{told}; {found.doubt}", fix=fix)
        else:
            yield Finding(topic="device", told=told)


def model(settings: Settings) -> Iterator[Finding]:
    """Look for the model and for room for it, without opening it; nobody is asked about replicas."""
    from ...container import cache_entry, configured_model
    from .models import size_of

    if settings.replicas:
        yield Finding(topic="model", told="in replicas on a Ray cluster; `parakeet-stt replicas status` tells whether any run")
        return
    entry = configured_model(settings, check=True)
    told, size = f"{entry.model} ({entry.place})", size_of(entry.size_bytes)
    if entry.place == "nowhere":
        yield Finding(topic="model", state="failure", told=entry.fault or "", fix="`parakeet-stt models` tells what is here")
    elif entry.place != "hub":
        yield Finding(topic="model", told=f"{told}, {size}: {entry.path}" if entry.path else told)
    if settings.recognizer != "nemo":
        return
    cache = cache_entry()
    told_cache = f"{cache.path}, {cache.free_bytes / 1e9:.1f} GB free"
    if entry.place != "hub":
        yield Finding(topic="cache", told=told_cache)
        return
    elsewhere = "point HF_HOME to a cache that holds it, set STT_MODEL to the path of a .nemo file, or STT_MODEL=bundled to try"
    if cache.offline:
        told = f"{told} is not in the cache, and HF_HUB_OFFLINE forbids to download it"
        yield Finding(topic="model", state="failure", told=told, fix=f"unset HF_HUB_OFFLINE, or {elsewhere}")
    elif not cache.writable or cache.free_bytes < (entry.size_bytes or 0):
        told = f"{told} is not in the cache, which has no room for {size}, or cannot be written"
        yield Finding(topic="model", state="failure", told=told, fix=elsewhere)
    else:
        told = f"{told} is not in the cache: the first start downloads it, {size}"
        yield Finding(
            topic="model", state="warning", told=told, fix=f"start the service once with a network; without one {elsewhere}"
        )
    yield Finding(topic="cache", told=told_cache)


def decoding(settings: Settings) -> Iterator[Finding]:
    """Start the processes that decode, and have them decode the sample."""
    from ...container import Container, ffmpeg_version

    container, begun_s = Container(settings=settings), monotonic()
    fix = "more memory or a larger STT_DECODE_MEMORY_MIB; the log above says what became of its processes"
    sample = files(_PACKAGE) / "samples" / "hello.wav"
    with closing(container.parts()), as_file(sample) as path, path.open("rb") as file:
        try:
            n_samples = sum(
                block.samples.size for block in container.normalizer().blocks(file, limits=DecodeLimits(max_duration_s=60))
            )
        except SpeechError as fault:
            yield Finding(topic="decoding", state="failure", told=str(fault), fix=fix)
            return
    told = f"FFmpeg {ffmpeg_version()}; processes started, {n_samples} samples decoded in {monotonic() - begun_s:.1f} s"
    yield Finding(topic="decoding", told=told)


def voice_detection(settings: Settings) -> Iterator[Finding]:
    """Load it."""
    from ...container import Container

    Container(settings=settings).detector()
    yield Finding(topic="voice detection", told="loads")


def microphone(_settings: Settings) -> Iterator[Finding]:
    """Look for one; nothing but `listen` needs it."""
    from .capture import Microphone

    try:
        yield Finding(topic="microphone", told=Microphone(None).name)
    except SpeechError as fault:
        yield Finding(topic="microphone", told=f"none, which nothing but `listen` needs: {fault}")
