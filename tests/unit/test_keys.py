"""Keys: how they are written down, what they open, and a file of them that changes."""

import hashlib
import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.entrypoints.cli.main import main
from app.entrypoints.key_file import KeyFile, check_key_file
from app.entrypoints.keys import Key, Keys, KeysError, new_key, read_keys

NAMES: Final = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def entry_of(name: str, secret: str) -> str:
    return f"{name}:sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


# In lists


def test_keys_open_by_what_they_are_and_are_called_by_their_names() -> None:
    keys = Keys(["plain", entry_of("alice", "hashed"), "a:colon"])
    keys.replace_file_keys(read_keys(entry_of("bob", "from-file")))
    opened = {secret: keys.name_of(secret.encode()) for secret in ("plain", "hashed", "a:colon", "from-file")}
    assert opened == {"plain": "env-1", "hashed": "alice", "a:colon": "env-3", "from-file": "bob"}
    assert keys.names == {"env-1", "alice", "env-3", "bob"}
    for wrong in (
        None,
        b"",
        b"Plain",
        b"alice",
        entry_of("alice", "hashed").encode(),
        hashlib.sha256(b"hashed").hexdigest().encode(),
    ):
        assert keys.name_of(wrong) is None


def test_the_service_is_open_only_where_neither_keys_nor_a_file_of_them_are_set() -> None:
    assert not Keys().locked
    assert Keys(["a"]).locked
    assert Keys(with_file=True).locked


@settings(max_examples=15)
@given(st.lists(st.tuples(NAMES, st.text(min_size=1)), max_size=3))
def test_what_is_written_down_is_read_again(made: list[tuple[str, str]]) -> None:
    keys = tuple(Key(name, hashlib.sha256(secret.encode()).digest()) for name, secret in made)
    assert read_keys("\n".join(key.entry for key in keys)) == keys


def test_remarks_empty_lines_and_large_digits_are_fine() -> None:
    shouted = f"alice:sha256:{hashlib.sha256(b'b').hexdigest().upper()}"
    text = f"# who may come in\n\n  {entry_of('alice', 'a')}  \r\n{shouted}\n"
    keys = Keys(with_file=True)
    keys.replace_file_keys(read_keys(text))
    assert keys.name_of(b"a") == keys.name_of(b"b") == "alice"  # two keys while one takes over from the other


@pytest.mark.parametrize(
    "line",
    [
        "hush-hush", "alice:hush-hush", "alice hush-hush", "alice:sha256:hush-hush", f"alice:sha256:{'0' * 63}",
        f"alice:sha256:{'0' * 65}", f"alice:md5:{'0' * 64}", f":sha256:{'0' * 64}", f"hush hush:sha256:{'0' * 64}",
        f"-hush:sha256:{'0' * 64}", f"{'h' * 65}:sha256:{'0' * 64}", f"hush:sha256:{'0' * 64} # hush",
    ],
)  # fmt: skip
def test_a_line_that_is_no_entry_is_told_by_its_number_and_not_repeated(line: str) -> None:
    with pytest.raises(KeysError, match="line 2 is not") as fault:
        read_keys(f"{entry_of('a', 'a')}\n{line}\n")
    assert "hush" not in str(fault.value)


# Made


def test_a_new_key_opens_and_no_two_are_alike() -> None:
    (secret, key), (other, _) = new_key("alice"), new_key("alice")
    assert secret != other
    assert re.fullmatch(r"stt_[\w-]{43}", secret)
    assert Keys([key.entry]).name_of(secret.encode()) == "alice"


def test_the_command_tells_the_key_to_a_person_and_its_entry_to_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "alice"]) == 0
    printed = capsys.readouterr()
    (secret,) = re.findall(r"stt_\S+", printed.err)
    assert secret not in printed.out
    keys = Keys(with_file=True)
    keys.replace_file_keys(read_keys(printed.out))
    assert keys.name_of(secret.encode()) == "alice"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", ".a", "é", "a\n", "x" * 65])
def test_a_name_that_no_entry_can_have_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeysError):
        new_key(name)
    assert main(["key", "--", name]) == 2
    assert capsys.readouterr().out == ""


# In a file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def look_twice(file: KeyFile) -> None:
    file.look()
    file.look()


def test_a_changed_file_counts_once_it_was_seen_twice(path: Path) -> None:
    path.write_text(entry_of("alice", "a"))
    keys = Keys(["fixed"], with_file=True)
    with capture_logs() as logs:
        file = KeyFile(path, keys)
        path.write_text(f"{entry_of('bob', 'b')}\n{entry_of('carol', 'c')}\n")
        file.look()
        assert keys.names == {"env-1", "alice"}  # what is seen for the first time may be half of it
        file.look()
        look_twice(file)
    assert keys.names == {"env-1", "bob", "carol"}
    assert (keys.name_of(b"a"), keys.name_of(b"b"), keys.name_of(b"fixed")) == (None, "bob", "env-1")
    assert [(event["event"], event["keys"], event["added"], event["removed"]) for event in logs] == [
        ("api_keys_read", 1, ["alice"], []), ("api_keys_read", 2, ["bob", "carol"], ["alice"]),
    ]  # fmt: skip


def break_by_a_line(path: Path) -> None:
    path.write_text(f"{entry_of('bob', 'b')}\nhush-hush\n")


def break_by_bytes(path: Path) -> None:
    path.write_bytes(b"\xff\xfehush-hush")


def break_by_length(path: Path) -> None:
    path.write_bytes(b"#" * 1_000_001)


def break_by_absence(path: Path) -> None:
    path.unlink()


BREAKS: Final = [break_by_a_line, break_by_bytes, break_by_length, break_by_absence]


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_broken_file_keeps_the_keys_and_is_told_once_and_one_that_is_whole_again_counts(breaks: object, path: Path) -> None:
    assert callable(breaks)
    path.write_text(entry_of("alice", "a"))
    keys = Keys(with_file=True)
    file = KeyFile(path, keys)
    with capture_logs() as logs:
        breaks(path)
        for _ in range(3):
            look_twice(file)
        assert keys.names == {"alice"}
        path.write_text(entry_of("bob", "b"))
        look_twice(file)
    assert keys.names == {"bob"}
    assert [(event["event"], event["log_level"]) for event in logs] == [("api_keys_kept", "error"), ("api_keys_read", "info")]
    assert "hush" not in str(logs)


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_file_that_is_broken_at_the_start_opens_to_nobody_until_it_is_whole(breaks: object, path: Path) -> None:
    assert callable(breaks)
    path.touch()
    breaks(path)
    with pytest.raises(KeysError) as fault:
        check_key_file(path)
    assert "hush" not in str(fault.value)
    keys = Keys(with_file=True)
    file = KeyFile(path, keys)
    assert keys.locked
    assert keys.names == frozenset()
    path.write_text(entry_of("alice", "a"))
    look_twice(file)
    assert keys.name_of(b"a") == "alice"


def test_an_empty_file_opens_to_nobody(path: Path) -> None:
    path.write_text("# nobody yet\n")
    check_key_file(path)
    keys = Keys(with_file=True)
    KeyFile(path, keys)
    assert keys.locked
    assert keys.name_of(b"any") is None
