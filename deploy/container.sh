#!/usr/bin/env bash
# Builds the image with buildah, looks into it, starts it as it would run (another user, a root that is read-only, nothing to
# write on but /tmp), has it transcribe a sample, and ends it. Needs root, no daemon; installs nothing, and names what is missing.
#
#   deploy/container.sh                 on the base that the Containerfile names, from its registry
#   deploy/container.sh --debootstrap   on Debian's packages and the Python that `uv python find` finds; needs no registry
#
# Further arguments go to `buildah bud`. Where SSL_CERT_FILE is set, the build trusts it, too; the image does not hold it.
# The image stays in buildah's store as parakeet-stt; `buildah rmi parakeet-stt` removes it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly image=parakeet-stt debootstrapped=localhost/parakeet-stt-base suite=bookworm
readonly libraries=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g

need() { command -v "$1" >/dev/null || { echo "MISSING: $1 (on Debian: apt-get install ${2:-$1})" >&2; exit 1; }; }
told() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

containers=() service=
clean() {
    if [[ -n $service ]]; then kill "$service" 2>/dev/null || true; wait "$service" || true; fi
    for container in "${containers[@]}"; do buildah rm "$container" >/dev/null; done
}
trap clean EXIT

make_base() { # a stand-in for python:3.11-slim-bookworm: that Debian's own 3.11.2 is too old
    local python prefix container root
    python=$(uv python find --no-project '>=3.11.4,<3.12')
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    told "a base of Debian $suite and the Python in $prefix"
    container=$(buildah from scratch); containers+=("$container")
    root=$(buildah mount "$container")
    debootstrap --variant=minbase --include="$libraries" "$suite" "$root" >"$log" || { tail -n 20 "$log" >&2; fail debootstrap; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar --directory "$prefix" --create --exclude='*/site-packages/*' --exclude=__pycache__ --exclude='*.a' --exclude='*/test' \
        --exclude='*/idlelib' --exclude='*/tkinter' --exclude='*/turtledemo' bin/python3.11 lib |
        tar --directory "$root/usr/local" --extract --no-same-owner
    ln -s python3.11 "$root/usr/local/bin/python3"
    chroot "$root" ldconfig
    chroot "$root" python3 -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib' || fail "that Python needs what $suite lacks"
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" "$debootstrapped" >/dev/null
}

look_into() { # of the file system at $1
    local compilers
    told "what is in it"
    du --summarize --block-size=MB "$1" | cut -f1
    du --summarize --block-size=MB "$1"/opt/parakeet-stt/lib/python3.*/site-packages/{torch,nvidia,triton} | sed "s|$1||"
    compilers=$(find "$1" -xdev -regextype egrep ! -type d -regex '.*/(.*-)?(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|tcc|nvcc|ld|as|make)(-[0-9.]+)?')
    [[ -z $compilers ]] || fail "there are compilers: $compilers"
    echo "no compiler, linker or make"
    [[ ! -s $1/run/secrets/ca ]] || fail "the image holds the certificates of the build"
    chroot --userspec="$user" "$1" /opt/parakeet-stt/bin/python - <<'PYTHON'
import json, re, sys
from importlib.metadata import distributions
from pathlib import Path
told = json.loads(Path("/usr/share/doc/parakeet-stt/sbom.cdx.json").read_text())
named = {(part["name"], part["version"]) for part in (*told["components"], told["metadata"]["component"])}
there = {(re.sub("[-_.]+", "-", found.name).lower(), found.version) for found in distributions()}
print(f"{len(there)} packages of Python are installed, {len(named)} are in the SBOM")
sys.exit(f"not in the SBOM: {there - named}" if there - named else 0)
PYTHON
}

start() { # the command of the image, on the file system at $1, with the environment of the image and of $2...
    local environment command
    mapfile -t environment < <(configured '.config.Env[]')
    mapfile -t command < <(configured '.config.Entrypoint[], .config.Cmd[]')
    # shellcheck disable=SC2016  # for the other bash
    unshare --mount -- bash -euc 'root=$1 user=$2 home=$3; shift 3
        mount --bind "$root" "$root"; mount --options remount,bind,ro "$root"
        mount --types tmpfs tmpfs "$root/tmp"; mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
        exec chroot --userspec="$user" "$root" env --ignore-environment --chdir="$home" "$@"' \
        start "$1" "$user" "$(configured .config.WorkingDir)" "${environment[@]}" "${@:2}" "${command[@]}" >"$log" 2>&1 &
    service=$!
}

configured() { buildah inspect --type image "$image" | jq --raw-output ".Docker | $1"; }

need buildah; need jq; need curl; need unshare util-linux
[[ $EUID -eq 0 ]] || fail "only root may mount and change root"
log=$(mktemp); readonly log
options=(--isolation chroot --format docker --file Containerfile --tag "$image" --build-arg "REVISION=$(git rev-parse HEAD)")
if [[ ${1:-} == --debootstrap ]]; then
    shift
    need debootstrap; need uv
    make_base
    options+=(--build-arg "BASE=$debootstrapped")
fi
if [[ -n ${SSL_CERT_FILE:-} ]]; then
    options+=(--secret "id=ca,src=$SSL_CERT_FILE" --build-arg SSL_CERT_FILE=/run/secrets/ca --build-arg PIP_CERT=/run/secrets/ca)
fi
told "build"
buildah bud "${options[@]}" "$@" .

container=$(buildah from --pull-never "$image"); containers+=("$container")
root=$(buildah mount "$container")
user=$(configured .config.User)
[[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "it runs as ${user:-root}"
look_into "$root"

told "it runs as $user, on a root that is read-only"
port=$((20000 + RANDOM % 10000))
start "$root" STT_HOST=127.0.0.1 STT_PORT="$port" STT_MODEL=bundled
for _ in {1..300}; do
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz"; then break; fi
    kill -0 "$service" 2>/dev/null || { cat "$log"; fail "it ended"; }
    sleep 1
done
if nsenter --target "$service" --mount -- touch "$root/opt/written" 2>/dev/null; then fail "its root can be written"; fi
heard=$(curl --silent --fail --form file=@app/samples/hello.wav --form response_format=text "http://127.0.0.1:$port/v1/audio/transcriptions")
printf 'it was told: %s\nit heard: %s\n' "$(<app/samples/hello.txt)" "$heard"
[[ -n $heard ]] || fail "it heard nothing"
mapfile -t health < <(configured '.config.Healthcheck.Test[1:][]')
chroot --userspec="$user" "$root" env STT_PORT="$port" "${health[@]/#python/\/opt\/parakeet-stt\/bin\/python}" || fail "its health check"
echo "its health check is content"
kill -TERM "$service"
ended=0; wait "$service" || ended=$?; service=
[[ $ended -eq 0 ]] || { cat "$log"; fail "it ended with $ended"; }
echo "it ended by SIGTERM with status 0"
