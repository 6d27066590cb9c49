"""What a container is granted, by control groups of both versions."""

from pathlib import Path

import pytest

from app.entrypoints.cli.cgroup import Granted, granted


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        pytest.param(
            "0::/\n", {"memory.max": "4294967296\n", "cpu.max": "150000 100000\n"},
            Granted(memory_bytes=4 * 2**30, cores=1.5), id="inside a container",
        ),
        pytest.param(
            "0::/pod/one\n",
            {
                "pod/memory.max": "1000\n", "pod/one/memory.max": "max\n", "pod/one/cpu.max": "max 100000\n",
                "cpu.max": "400000 100000\n",
            },
            Granted(memory_bytes=1000, cores=4.0), id="the narrowest above it",
        ),
        pytest.param(
            "9:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n",
            {
                "memory/docker/x/memory.limit_in_bytes": "2000\n", "cpu/cpu.cfs_quota_us": "200000\n",
                "cpu/cpu.cfs_period_us": "100000\n", "cpu/docker/x/cpu.cfs_quota_us": "-1\n",
            },
            Granted(memory_bytes=2000, cores=2.0), id="version 1, its own folder not there",
        ),
        pytest.param("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, Granted(), id="no limit"),
        pytest.param("", {}, Granted(), id="no control groups"),
    ],
)  # fmt: skip
def test_the_narrowest_limit_counts(tmp_path: Path, own: str, files: dict[str, str], expected: Granted) -> None:
    for name, text in files.items():
        (path := tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    assert granted(tmp_path / "mount", tmp_path / "own") == expected
