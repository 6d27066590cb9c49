"""Settings: which source wins, and what a fault says."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.setting_sources import CONFIG_FILE, PREFIX, environment_of, read_settings
from app.settings import Settings, SettingsError, fields, help_of

UNITS: Final = {"_s": "seconds", "_kb_s": "kB", "_ms": "milliseconds", "_mb": "MB"}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "stt.toml"
    path.write_text('port = 1001\nhost = "from-file"\nmodel_aliases = ["a", "b"]\nmax_audio_s = 60\n')
    return path


def faults_of(environment: dict[str, str], flags: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as fault:
        read_settings(environment, flags)
    return str(fault.value).splitlines()


def test_without_any_source_the_defaults_hold() -> None:
    assert read_settings({}) == Settings()
    assert (Settings().host, Settings().port, Settings().max_upload_mb, Settings().max_audio_s) == ("127.0.0.1", 8000, 512, 14_400)


def test_flags_go_before_the_environment_before_the_file_before_the_default(toml: Path) -> None:
    environment = {CONFIG_FILE: str(toml), "STT_PORT": "1002", "STT_MODEL": "bundled"}
    found = read_settings(environment, {"port": "1003", "host": None})
    assert (found.port, found.host, found.model, found.device) == (1003, "from-file", "bundled", "auto")
    assert read_settings(environment).port == 1002
    assert read_settings({CONFIG_FILE: str(toml)}).port == 1001
    assert read_settings({CONFIG_FILE: str(toml)}).max_audio_s == 60.0


def test_a_stronger_source_hides_a_fault_of_a_weaker_one() -> None:
    assert read_settings({"STT_PORT": "no number"}, {"port": "8001"}).port == 8001


def test_variables_of_others_are_not_looked_at() -> None:
    assert read_settings({"PORT": "1", "STTPORT": "2", "PATH": "/bin", "NOT_STT_PORT": "3"}) == Settings()


@pytest.mark.parametrize(
    ("name", "suggested"), [("STT_PROT", "STT_PORT"), ("STT_MAX_UPLOAD", "STT_MAX_UPLOAD_MB"), ("STT_MODELS", "STT_MODEL")]
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, suggested: str) -> None:
    assert faults_of({name: "1"}) == [f"{name}: no such setting; did you mean {suggested}?"]


def test_an_unknown_name_like_no_other_is_refused_without_a_suggestion() -> None:
    assert faults_of({"STT_XYZZYQQ": "1"}) == ["STT_XYZZYQQ: no such setting"]


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "stt.toml"
    path.write_text("prot = 1\n")
    assert faults_of({CONFIG_FILE: str(path)}) == [f"prot in {path}: no such setting; did you mean port?"]


def test_all_faults_are_told_at_once(toml: Path) -> None:
    toml.write_text("window_s = 1\nnonsense_zz = true\n")
    faults = faults_of({CONFIG_FILE: str(toml), "STT_PORT": "0", "STT_MODL": "x"}, {"max_audio_s": "soon"})
    assert len(faults) == 5
    for name in ("window_s", "nonsense_zz", "STT_PORT", "STT_MODL", "--max-audio-s"):
        assert any(fault.startswith(name) for fault in faults), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STT_PORT", "0"), ("STT_PORT", "65536"), ("STT_PORT", "80.5"), ("STT_PORT", ""), ("STT_PORT", "true"),
        ("STT_MAX_UPLOAD_MB", "0"), ("STT_MAX_AUDIO_S", "0"), ("STT_MAX_AUDIO_S", "-1"), ("STT_MAX_AUDIO_S", "nan"),
        ("STT_SINGLE_PASS_S", "0.5"), ("STT_WINDOW_S", "3601"), ("STT_MAX_WAITING_S", "0"), ("STT_LINGER_MS", "-1"),
        ("STT_MAX_REQUESTS", "0"), ("STT_MODEL", ""), ("STT_DEVICE", "gpu"), ("STT_DEVICE", "cuda:"), ("STT_DEVICE", "cuda:0\nx"),
        ("STT_PATH_PREFIX", "speech"), ("STT_PATH_PREFIX", "/"), ("STT_PATH_PREFIX", "/a/"), ("STT_PATH_PREFIX", "/a b"),
        ("STT_TRACES_ENDPOINT", "collector:4318"), ("STT_PRECISION", "int8"), ("STT_LOG_LEVEL", "loud"), ("STT_LOG_FORMAT", "xml"),
        ("STT_CORS_ORIGINS", "https://a.example/"), ("STT_CORS_ORIGINS", "a.example"), ("STT_CORS_ORIGINS", "https://*.example"),
        ("STT_API_KEYS", "a:sha256:0"), ("STT_API_KEYS", f"a/b:sha256:{'0' * 64}"), ("STT_API_KEYS", f"a:sha256:{'0' * 65}"),
        ("STT_TRUSTED_PROXIES", "proxy.example"), ("STT_TRUSTED_PROXIES", "10.0.0.1/8"), ("STT_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("STT_TRUSTED_PROXIES", "*"), ("STT_REQUESTS_PER_MINUTE", "-1"), ("STT_REQUESTS_PER_MINUTE", "0.5"),
        ("STT_AUDIO_S_PER_MINUTE", "inf"),
        ("STT_CORS_ORIGINS", "null"), ("STT_CORS_ORIGINS", "https://a.example https://b.example"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_by_name(name: str, value: str) -> None:
    assert "\n".join(faults_of({name: value})).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "1", 1), ("port", "65535", 65_535), ("max_audio_s", "604800", 604_800.0), ("linger_ms", "0", 0.0),
        ("device", "cuda:1", "cuda:1"), ("device", " cuda:1 ", "cuda:1"), ("api_keys_file", " ", ""),
        ("precision", "bfloat16", "bfloat16"), ("window_s", "7.5", 7.5),
        ("api_keys", f"a:sha256:{'0' * 64}", (f"a:sha256:{'0' * 64}",)), ("api_keys", "a:b", ("a:b",)),
        ("trusted_proxies", "10.0.0.0/8, ::1,192.0.2.1", ("10.0.0.0/8", "::1", "192.0.2.1")), ("requests_per_minute", "0", 0),
        ("cors_origins", "*", ("*",)), ("cors_origins", "http://[::1]:80,app://x", ("http://[::1]:80", "app://x")),
    ],
)  # fmt: skip
def test_the_ends_of_the_ranges_are_allowed(name: str, value: str, expected: object) -> None:
    assert getattr(read_settings({PREFIX + name.upper(): value}), name) == expected
    assert getattr(read_settings({}, {name: value}), name) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("a", ("a",)), ("a,b", ("a", "b")), (" a , b/c ,, ", ("a", "b/c")), ("", ()), (",", ())]
)
def test_lists_are_separated_by_commas(value: str, expected: tuple[str, ...]) -> None:
    assert read_settings({"STT_MODEL_ALIASES": value}).model_aliases == expected
    assert read_settings({}, {"model_aliases": value}).model_aliases == expected


def test_lists_in_the_file_are_lists(toml: Path) -> None:
    assert read_settings({CONFIG_FILE: str(toml)}).model_aliases == ("a", "b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ()), (" ", ()), ("a", ("a",)), ("sk-1, b/+=~!", ("sk-1", "b/+=~!")), ("twice,twice", ("twice", "twice"))],
)
def test_keys_are_a_list(value: str, expected: tuple[str, ...]) -> None:
    assert read_settings({"STT_API_KEYS": value}).api_keys == expected


@pytest.mark.parametrize("value", ["hush hush", "hush,,hush", "hush,", ",", "hush\x7f", "hüsh", "hush\thush", "hush\nhush"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(value: str) -> None:
    for faults in (faults_of({"STT_API_KEYS": value}), faults_of({}, {"api_keys": value})):
        (fault,) = faults
        assert re.match(r"STT_API_KEYS: |--api-keys: ", fault)
        assert not [word for word in re.findall(r"\w+", value) if word in fault]


@pytest.mark.parametrize(
    "line",
    [
        'api_keys = ["hush hush"]',
        'api_keys = [["hush"]]',
        'api_keys = {hush = "hush"}',
        'api_keys = ["hush,hush"]',
        'api_keys = [""]',
    ],
)
def test_a_wrong_key_in_the_file_is_not_repeated(toml: Path, line: str) -> None:
    toml.write_text(line)
    (fault,) = faults_of({CONFIG_FILE: str(toml)})
    assert fault.startswith("api_keys in ")
    assert "hush" not in fault


def test_a_misspelt_name_does_not_repeat_the_key() -> None:
    assert faults_of({"STT_API_KEY": "hush"}) == ["STT_API_KEY: no such setting; did you mean STT_API_KEYS?"]


def test_tls_needs_a_certificate_and_its_key() -> None:
    for name in ("STT_TLS_CERT", "STT_TLS_KEY"):
        assert faults_of({name: "/etc/stt/some.pem"}) == ["tls_cert, tls_key: TLS needs both, or neither"]
    assert read_settings({"STT_TLS_CERT": "a", "STT_TLS_KEY": "b"}).tls_key == "b"


def test_settings_that_are_printed_hide_the_keys() -> None:
    settings = Settings(api_keys=("hush", "hush-too"), port=8123)
    for shown in (repr(settings), str(settings), f"{settings}", str(list(settings.__rich_repr__()))):
        assert "hush" not in shown
        assert "2 hidden" in shown
        assert "8123" in shown


@pytest.mark.parametrize("content", ["port = ", "port = 80 port", "\x00"])
def test_a_file_that_is_no_toml_is_named(toml: Path, content: str) -> None:
    toml.write_text(content)
    (fault,) = faults_of({CONFIG_FILE: str(toml)})
    assert str(toml) in fault


def test_a_file_that_cannot_be_read_is_named(toml: Path) -> None:
    toml.write_bytes(b'host = "\xff"')
    assert str(toml) in faults_of({CONFIG_FILE: str(toml)})[0]
    missing = str(toml.with_name("missing.toml"))
    assert missing in faults_of({CONFIG_FILE: missing})[0]


def test_an_empty_name_of_the_file_means_no_file() -> None:
    assert read_settings({CONFIG_FILE: ""}) == Settings()


names = st.text(st.characters(codec="ascii", exclude_characters=",", exclude_categories=["C", "Z"]), min_size=1)


@given(
    st.builds(
        Settings,
        host=names,
        port=st.integers(1, 65_535),
        tls_cert=st.just("/etc/stt/cert.pem"),
        tls_key=st.just("/etc/stt/key.pem"),
        trusted_proxies=st.lists(st.sampled_from(["10.0.0.0/8", "::1"])).map(tuple),
        path_prefix=st.sampled_from(["", "/a", "/a/b-c"]),
        api_keys_file=st.sampled_from(["", "/etc/stt/keys"]),
        hsts_s=st.integers(0, 63_072_000),
        requests_per_minute=st.integers(0, 1_000_000),
        audio_s_per_minute=st.integers(0, 1_000_000),
        api_keys=st.lists(names, max_size=4).map(tuple),
        cors_origins=st.lists(st.sampled_from(["*", "https://a.example", "http://localhost:3000"])).map(tuple),
        model=names,
        recognizer=st.sampled_from(["nemo", "their.module:Factory.make"]),
        device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
        precision=st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
        model_aliases=st.lists(names, max_size=4).map(tuple),
        max_upload_mb=st.integers(1, 65_536),
        max_audio_s=st.floats(1e-3, 604_800),
        single_pass_s=st.floats(1, 3_600),
        window_s=st.floats(5, 3_600),
        max_waiting_s=st.floats(1, 1e9),
        max_wait_s=st.floats(0.1, 1e6),
        linger_ms=st.floats(0, 1_000),
        file_patience_s=st.floats(0, 1e6),
        file_run_ms=st.floats(1, 60_000),
        deadline_s=st.floats(1e-3, 604_800),
        max_requests=st.integers(1, 1_024),
        log_level=st.sampled_from(["debug", "info", "warning", "error"]),
        log_format=st.sampled_from(["auto", "json", "console"]),
        traces_endpoint=st.sampled_from(["", "https://collector.example/v1/traces"]),
    )
)
def test_settings_survive_the_way_through_an_environment(settings: Settings) -> None:
    assert read_settings(environment_of(settings)) == settings
    assert set(environment_of(settings)) == {PREFIX + name.upper() for name in fields()}


@pytest.mark.parametrize("name", fields())
def test_every_setting_is_described_in_a_sentence_with_its_unit(name: str) -> None:
    told = help_of(fields()[name])
    assert re.fullmatch(r"(?s)[A-Z`].+\.", told)
    for ending, unit in UNITS.items():
        if name.endswith(ending) and not any(name.endswith(other) for other in UNITS if len(other) > len(ending)):
            assert re.search(rf"(?i)\b{unit}\b", told), f"{name} tells no unit: {told}"
