"""Go's durations, sizes and dates, and the one factor over PD's times."""

from __future__ import annotations

import pytest

from tests.standin.clock import (
    Clock,
    DurationError,
    format_duration,
    format_size,
    format_time,
    parse_duration,
    parse_scale,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("30m", 1800, "30m0s"),
        ("1h", 3600, "1h0m0s"),
        ("1h30m", 5400, "1h30m0s"),
        ("10.866s", 10.866, "10.866s"),
        ("1m40.877039483s", 100.877039483, "1m40.877039483s"),
        ("169.700804ms", 0.169700804, "169.700804ms"),
        ("15µs", 15e-6, "15µs"),
        ("0s", 0, "0s"),
        ("-2s", -2, "-2s"),
    ],
)
def test_durations_are_read_and_written_as_in_go(text: str, seconds: float, written: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(seconds) == written


@pytest.mark.parametrize("text", ["soon", "", "30", "1d", "m", "5 m", "1h-2m"])
def test_what_go_refuses_is_refused_in_its_words(text: str) -> None:
    with pytest.raises(DurationError, match=f'time: invalid duration "{text}"'):
        parse_duration(text)


def test_sizes_have_four_significant_digits() -> None:
    gib = 1 << 30
    assert [format_size(s) for s in (0, 512, 100 * gib, 98.83 * gib, 840 << 20)] == [
        "0B",
        "512B",
        "100GiB",
        "98.83GiB",
        "840MiB",
    ]


def test_size_texts_are_binary_whatever_the_unit_is_called() -> None:
    assert parse_size("10GiB") == parse_size("10GB") == parse_size("10g") == 10 << 30
    assert parse_size("0") == 0
    with pytest.raises(ValueError, match="'much' is no size: write it like 100GiB"):
        parse_size("much")


def test_dates_have_as_many_digits_as_they_need() -> None:
    assert format_time(0) == "1970-01-01T00:00:00Z"
    assert format_time(1795165242_867039483) == "2026-11-20T09:00:42.867039483Z"
    assert format_time(1795165242_500000000) == "2026-11-20T09:00:42.5Z"


def test_the_scale_shortens_waits_but_not_the_lease_below_its_floor() -> None:
    clock = parse_scale("60")
    assert clock.wait(1800) == 30
    assert (clock.election, clock.lease) == (1.5, 3)
    assert (Clock().election, Clock().lease) == (3.0, 5)


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", ""])
def test_a_bad_scale_is_named_with_its_two_sources(text: str) -> None:
    with pytest.raises(ValueError, match=r"--standin-time-scale or STANDIN_TIME_SCALE"):
        parse_scale(text)
