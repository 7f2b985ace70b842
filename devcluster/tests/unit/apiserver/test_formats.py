"""Formats and Go's regular expressions."""

import pytest

from devcluster.apiserver.formats import STRING_FORMATS, go_pattern


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date-time",
            ["2026-01-01T00:00:00Z", "2026-01-01t23:59:59.5+02:00", "2026-01-01T00:00:00,5z"],
            [
                "2026-01-01",
                "2026-13-01T00:00:00Z",
                "2026-01-01T23:59:60Z",
                "2026-01-01T24:00:00Z",
                "2026-01-01 00:00:00Z",
                "",
            ],
        ),
        ("date", ["2026-02-28"], ["2026-02-30", "20260101", "2026-1-1", "x"]),
        (
            "duration",
            ["1h30m", "-1.5s", "1 day", "1.5 days", "1week 2days", "0", "3us", ".5s", "P1D", "PT1H30M"],
            ["x", "", "1", "1hh30", "P", "PT", "1 fortnight"],
        ),
        ("uri", ["https://a.b/c?d", "/path", "a:b"], ["::", "a b", "", "http://[x", "a"]),
        ("email", ["a@b", "A B <a@b.c>", '"x y"@b', " a@b"], ["a", "a@b@c", "a@b.", ""]),
        (
            "hostname",
            ["a", "a-b", "a-b.co", "localhost", "é"],
            ["-", "a..b", "a-b-c", "a-b.c", "a.b.c1", "a" * 66, "a_b", ""],
        ),
        ("ipv4", ["1.2.3.4"], ["1.2", "::1", "1.2.3.4/8", ""]),
        ("ipv6", ["::1", "::ffff:1.2.3.4"], ["1.2.3.4", "g", "fe80::1%eth0"]),
        ("cidr", ["10.0.0.1/8", "::/0"], ["1", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/x"]),
        ("mac", ["01:23:45:67:89:ab"], ["01:23:45:67:89", "01-23:45:67:89:ab"]),
        ("uuid", ["45b9aa74-10e7-41b3-bfd9-ab3eeaec371f", "45b9aa7410e741b3bfd9ab3eeaec371f"], ["x"]),
        ("uuid4", ["45b9aa74-10e7-41b3-bfd9-ab3eeaec371f"], ["45b9aa74-10e7-31b3-bfd9-ab3eeaec371f"]),
        ("byte", ["YQ=="], ["!", "", "YQ", "a-_b"]),
    ],
)
def test_a_format_accepts_valid_and_refuses_invalid_values(name: str, good: list[str], bad: list[str]) -> None:
    check = STRING_FORMATS[name]

    assert [value for value in good if not check(value)] == []
    assert [value for value in bad if check(value)] == []


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        pytest.param("^a$", "a\n", False, id="dollar-is-the-end-of-the-text"),
        pytest.param(r"^\d$", "٣", False, id="digits-are-ascii"),
        pytest.param(r"^\w+$", "é", False, id="word-characters-are-ascii"),
        pytest.param("b", "abc", True, id="not-anchored"),
        pytest.param("^[[:alpha:]_]+$", "a_", True, id="posix-class"),
        pytest.param("^[]a]+$", "a]", True, id="bracket-first-in-a-class"),
        pytest.param("^[^]]$", "]", False, id="bracket-first-in-a-negated-class"),
        pytest.param("^[$&|~]+$", "$&|~", True, id="ordinary-in-a-class"),
        pytest.param("^[a-z&&b]$", "&", True, id="no-set-operations"),
        pytest.param(r"^\Qa.b\E$", "a.b", True, id="quoted"),
        pytest.param(r"^\Qa.b\E$", "axb", False, id="quoted-is-literal"),
        pytest.param(r"^\x{61}\z", "a", True, id="hexadecimal"),
        pytest.param("(?i)^A$", "a", True, id="flags"),
        pytest.param("(?P<n>a)", "a", True, id="named-group"),
    ],
)
def test_a_pattern_means_what_it_means_in_go(pattern: str, text: str, found: bool) -> None:
    assert (go_pattern(pattern).search(text) is not None) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        r"(a)\1",
        "(?>a)",
        "a++",
        "a**",
        "(",
        "[",
        "a{1001}",
        r"\pL",
        "[[:^alpha:]]",
        "\\",
        r"\x{zz}",
    ],
)
def test_a_pattern_that_go_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        go_pattern(pattern)
