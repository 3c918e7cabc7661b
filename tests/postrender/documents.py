"""Generated manifests as text, in every style that YAML has for one value."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

_SPELLINGS = """
y n Y N yes No on OFF true False null ~ NULL 0644 0o644 08 09 0x1F 0b11 1_000 1e3 1E3 1.5e+3 .5 5. +1 -1 -0 +.5
.inf -.inf .nan 12:30:45 190:20:30 60:00 2001-01-01 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z = << 1.2.3
10.0.0.1/24 123456789012345678901234567890 9007199254740993 9223372036854775808 1e400 0.1 1.0 1e+06 0o8 _1 1_ - --
--- -x --x +x .x 1:2 infinity NaN inf e3 0xG 1a 1e . .. ... abc a-b a.b/c:d a=b x@y 100m 1Gi
"""
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
WORDS = tuple(_SPELLINGS.split())
# What may stand plain in a mapping's value without being YAML of its own.
_PLAIN = [word for word in WORDS if word not in ("-", "---", "...", "~", "<<")]

texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=("Cs", "Cn", "Co", "Cc"), exclude_characters="\ufeff"
        ),
        max_size=10,
    ),
    st.text("ab :#-\n\t'\"\\", max_size=14),
)


def _double(text: str) -> str:
    return (
        json.dumps(text, ensure_ascii=False)
        .replace("\x85", "\\x85")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


@st.composite
def scalars(draw: DrawFn, pad: str) -> str:
    """One scalar that may follow `key: ` in block style, its further lines indented by `pad`."""
    style = draw(
        st.sampled_from(["plain", "plain", "double", "single", "literal", "folded", "tag"])
    )
    if style == "plain":
        return draw(st.sampled_from(_PLAIN))
    if style == "tag":
        return f"!!str {draw(st.sampled_from(_PLAIN))}"
    text = draw(texts)
    if style == "double" or any(c in text for c in "\t\x85\u2028\u2029"):
        return _double(text)
    if style == "single":
        return "'" + text.replace("'", "''").replace("\n", " ") + "'"
    mark = {"literal": "|", "folded": ">"}[style] + "2" + draw(st.sampled_from(["", "-", "+"]))
    return mark + "".join(f"\n{pad}{line}" for line in text.split("\n"))


@st.composite
def blocks(draw: DrawFn, depth: int = 0) -> list[str]:
    """The lines of a mapping at this depth, without their own indentation of `depth`."""
    lines: list[str] = []
    keys = draw(
        st.lists(
            st.sampled_from(["a", "b", "c", '"y"', "'1'", "d-e", "f.g/h", '"x: y"']),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    for key in keys:
        shape = draw(
            st.sampled_from(["scalar", "scalar", "scalar", "map", "list", "flow", "empty"])
        )
        if shape == "scalar" or depth > 2:
            lines += f"{key}: {draw(scalars('  '))}".split("\n")
        elif shape == "map":
            lines += [f"{key}:", *("  " + line for line in draw(blocks(depth + 1)))]
        elif shape == "list":
            lines.append(f"{key}:" + draw(st.sampled_from(["", " # why"])))
            for _ in range(draw(st.integers(1, 3))):
                first, *rest = f"- {draw(scalars('  '))}".split("\n")
                lines += [first, *rest]
        elif shape == "flow":
            words = [draw(st.sampled_from(_PLAIN)) for _ in range(2)]
            lines.append(
                f"{key}: {{p: {_double(words[0])}, q: [{_double(words[1])}, 1e3, y, 0644]}}"
            )
        else:
            lines.append(f"{key}: {draw(st.sampled_from(['', '{}', '[]', '~']))}")
    return lines


@st.composite
def manifests(draw: DrawFn, head: str = HEAD) -> str:
    """An object whose `data` is generated; sometimes with anchors and a merge, sometimes with CRLF."""
    lines = [f"{head}data:"]
    lines += ["  " + line for line in draw(blocks())]
    if draw(st.booleans()):
        lines += ["shared: &s {k: 1e3, l: 'y'}", "again: *s", "merged: {<<: *s, k: own}"]
    text = "\n".join(lines) + "\n"
    return text.replace("\n", "\r\n") if draw(st.integers(0, 9)) == 0 else text
