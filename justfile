set shell := ["bash", "-euo", "pipefail", "-c"]
export PYTHONDONTWRITEBYTECODE := ""  # where it is set, as in many images, every start would compile NeMo anew: half a minute

# List the recipes
default:
    @just --list

# Run the service with the bundled model and have it transcribe a sample
demo *flags:
    uv run parakeet-stt demo {{flags}}

# Run the service with settings from the environment
serve *flags:
    uv run parakeet-stt serve {{flags}}

# Run every test that needs neither a GPU nor the model hub
test *arguments:
    uv run pytest -n 2 --max-worker-restart 0 -m "not gpu and not hub and not deploy and not cluster" {{arguments}}

# Test replicas on a Ray cluster of several nodes on this machine, and end some of them; installs the extra `ray` (minutes)
cluster-test *arguments:
    uv run --extra ray pytest tests/cluster {{arguments}}

# Run the end-to-end tests of files and of live sessions with the bundled model in two replicas on a Ray cluster (minutes)
cluster-e2e *arguments:
    uv run --extra ray pytest --replicas 2 tests/e2e/test_{transcriptions,openai_python,endpoints,ws,realtime}.py \
        -W ignore::DeprecationWarning -W ignore::FutureWarning -W ignore::ResourceWarning {{arguments}}

# Check format, style, types and imports
lint:
    uv run ruff format --check
    uv run ruff check
    uv run mypy
    uv run lint-imports

# Format and mend what can be mended
format:
    uv run ruff format
    uv run ruff check --fix

# Write docs/settings.md anew from the settings in the code
settings-page:
    uv run parakeet-stt settings --markdown > docs/settings.md

# Compare the service with the bare model and with NeMo on this machine (see bench/README.md)
bench *flags:
    uv run python -m bench {{flags}}

# Measure how soon live sessions get their words, against how many there are (see bench/README.md)
bench-live *flags:
    uv run python -m bench.live {{flags}}

# Compare `transcribe` over many files with posting them one by one (see bench/README.md)
bench-files *flags:
    uv run python -m bench.files {{flags}}

# Compare live sessions with files over ten minutes, and word by word over hours of the ruler's words
live-long *flags:
    uv run python -m bench.live_long {{flags}}

# Measure what replicas on a Ray cluster add up to, and what a batch costs on its way; installs the extra `ray` (a minute)
bench-replicas *flags:
    uv run --extra ray python -m bench.replicas {{flags}}

# Look for word errors at the seams of an hour of known sentences
seams *flags:
    uv run python -m bench.seams {{flags}}

# Check deploy/ with promtool, docker-compose, kubernetes-validate, Ray Serve's schema and nginx in front of a running service
deploy-check:
    uv run --group deploy --extra ray python deploy/check.py

# Build the container image, look into it, start it and have it transcribe a sample (as root; --debootstrap: without a registry)
container *flags:
    deploy/container.sh {{flags}}

# Build the documentation into site/; a broken link, or a page that loads anything from another host, is an error
docs *flags:
    NO_MKDOCS_2_WARNING=1 uv run --group docs mkdocs build --strict {{flags}}
    ! grep -rE --include='*.html' '(src|<link[^>]*href)="?(https?:)?//' site

# Advisories that SECURITY.md tells why they stay
known_holes := "CVE-2026-58659 CVE-2026-31221 CVE-2024-8020 CVE-2025-3000 CVE-2026-59890 CVE-2025-34351 CVE-2023-48022 CVE-2020-13092"

# Compare the locked versions with PyPI's advisories; a package that cannot be looked up is an error, too
audit *flags:
    #!/usr/bin/env bash
    set -euo pipefail
    locked=$(mktemp); trap 'rm -f "$locked"' EXIT
    uv export --quiet --frozen --no-dev --all-extras --no-emit-project --no-hashes --output-file "$locked"
    uvx pip-audit@2.10.1 --vulnerability-service pypi --disable-pip --no-deps --strict --progress-spinner off \
        {{prepend("--ignore-vuln=", known_holes)}} --requirement "$locked" {{flags}}

# Resolve the lowest versions that pyproject.toml allows, install them elsewhere, and import every module with them
lowest:
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
    cp -r app pyproject.toml setup.py README.md LICENSE "$folder"
    cd "$folder"
    uv lock --resolution lowest-direct
    env -u VIRTUAL_ENV uv sync --frozen --no-dev --extra nemo --extra silero --extra torchaudio --extra server --extra otel
    .venv/bin/python -W ignore -c 'import importlib, pkgutil, parakeet_stt as p
    names = [m.name for m in pkgutil.walk_packages(p.__path__, "parakeet_stt.") if "testing" not in m.name and "__main__" not in m.name]
    [importlib.import_module(name) for name in names]; print(len(names), "modules import")'

# Take the newest versions that pyproject.toml allows into the lock, and run what must pass
update:
    uv lock --upgrade
    just lint
    just test

# Simulate how many machines it takes, fed with what was measured, and write tables and plots of docs/capacity.md anew (minutes; `measure`: measure anew)
capacity *flags:
    uv run python -m bench.capacity {{flags}}

# Torment the service under load, and see that everybody is answered with their own words (minutes)
chaos *flags:
    uv run python -m bench.chaos {{flags}}

# Kill replicas and nodes of a Ray cluster on this machine under load, and see that everybody is answered; installs the extra `ray` (minutes)
chaos-cluster *flags:
    uv run --extra ray python -m bench.chaos_cluster {{flags}}

# Keep the service busy with everything that clients do, and see whether it holds more and more (20 minutes)
soak *flags:
    uv run python -m bench.soak {{flags}}

# See whether live sessions leave anything behind, at whatever moment thousands of clients go (minutes)
vanishing *flags:
    uv run python -m bench.vanishing {{flags}}

# Send hundreds of hostile files, requests and sessions, and see that each gets the answer it must (minutes)
hostile *flags:
    uv run python -m bench.hostile {{flags}}

# Compare the latencies of honest requests with and without hundreds of slow clients (minutes)
slow-clients *flags:
    uv run python -m bench.slow {{flags}}

# Give everything that reads what strangers send a minute each of inputs nobody thought of (see CONTRIBUTING.md)
fuzz *flags:
    uv run --group fuzz python -m tests.fuzz {{flags}}

# Make the bundled model anew: text, speech, training, evaluation (hours; see training/README.md)
train-bundled *flags:
    uv run python -m training.bundled {{flags}}
