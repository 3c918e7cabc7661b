"""The agent's configuration: read again when it changes, and never worse than the last valid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hooks.disks.config import Config, ConfigError, ConfigFile, parse
from hooks.disks.judge import Policy

GOOD = '{"minSize": "10Gi", "steadyFor": "3s", "rescanEvery": "1m", "trim": true}'


def test_a_good_one() -> None:
    assert parse(GOOD) == Config(Policy(10 << 30, 3.0), 60.0, True)
    assert parse("{}") == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "is [], expected an object"),
        (
            '{"minsize": "1Gi"}',
            "minsize: no such key; there are minSize, steadyFor, rescanEvery, trim",
        ),
        ('{"minSize": 10}', "minSize is 10: expected a quantity such as 10Gi"),
        ('{"minSize": "10GB"}', "minSize is '10GB': '10GB' is no Kubernetes quantity such as"),
        ('{"steadyFor": "soon"}', "steadyFor is 'soon': 'soon' is no duration"),
        ('{"rescanEvery": "0"}', "rescanEvery is '0': expected a duration from 1s to 3600s"),
        ('{"rescanEvery": 30}', "rescanEvery is 30: expected a duration such as 30s"),
        ('{"trim": "yes"}', "trim is 'yes': expected true or false"),
    ],
)
def test_a_bad_one_says_which_key(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert words in str(error.value)


def test_a_bad_reload_keeps_the_last_valid_one_and_says_so(tmp_path: Path) -> None:
    """Elsewhere a bad configuration ended the agents of all nodes at once."""
    path = tmp_path / "disks.json"
    path.write_text(GOOD)
    file = ConfigFile(path)
    for bad in ('{"minSize": "lots"}', "\x00", None):
        if bad is None:
            path.unlink()
        else:
            path.write_text(bad)
        assert file.reload() == parse(GOOD)
        assert file.complaint
        assert f"new configuration {path} cannot be used" in file.complaint
        assert "the last valid one stays in force (minSize 10737418240 bytes" in file.complaint
    path.write_text('{"minSize": "1Gi"}')
    assert file.reload().policy.min_size_bytes == 1 << 30
    assert file.complaint is None
    path.write_bytes(b"\xff\xfe")
    assert file.reload().policy.min_size_bytes == 1 << 30


def test_a_bad_first_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "disks.json"
    path.write_text('{"trim": 1}')
    with pytest.raises(
        ConfigError, match=f"configuration {path}: trim is 1: expected true or false"
    ):
        ConfigFile(path)
    with pytest.raises(ConfigError, match="No such file"):
        ConfigFile(tmp_path / "none")


def test_without_a_file_defaults_count() -> None:
    assert ConfigFile(None).reload() == Config()
