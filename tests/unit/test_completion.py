"""`parakeet-stt completion`: a script that the shell itself accepts."""

import subprocess

import pytest

from app.entrypoints.cli.main import main


def test_bash_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = 'COMP_WORDS=(parakeet-stt "$@"); COMP_CWORD=$#; _shtab_parakeet_stt; echo "${COMPREPLY[@]}"'
    for typed, offered in (
        (["tr"], {"transcribe"}), (["transcribe", "--out"], {"--output-dir"}), (["li"], {"listen"}), (["mo"], {"models"}),
        (["listen", "--mic"], {"--microphone"}), (["doctor", "--js"], {"--json"}),
    ):  # fmt: skip
        ended = subprocess.run(
            ["bash", "-c", f"{script}\n{ask}", "bash", *typed], capture_output=True, text=True, check=False, timeout=30
        )
        assert set(ended.stdout.split()) == offered, ended.stderr
