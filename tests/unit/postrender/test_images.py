"""Rule images: mirrors, digests, policies; references; the lock file."""

from __future__ import annotations

from pathlib import Path

import pytest

from postrender.errors import ConfigError
from postrender.findings import Severity
from postrender.lock import lock_file, read_list
from postrender.reference import ImageReferenceError, Reference
from tests.unit.postrender.release import Outcome, pod, release

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
MIRRORS = {
    "docker.io": "mirror.local/hub",
    "quay.io/prometheus": "mirror.local/prom",
    "quay.io": "mirror.local/quay",
}


def images(*names: str, **parameters: object) -> Outcome:
    listed = "".join(f"      - name: c{n}\n        image: {name}\n" for n, name in enumerate(names))
    return release(pod(listed), only="images", images=parameters)


def names(done: Outcome) -> list[str]:
    return [
        line.split("image: ")[1].strip('"')
        for line in done.output.splitlines()
        if "image: " in line
    ]


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("pingcap/tikv:v8.5.0", "docker.io/pingcap/tikv:v8.5.0"),
        ("localhost/x", "localhost/x"),
        ("reg:5000/x:1", "reg:5000/x:1"),
        (f"quay.io/a/b_c__d-e:1@{A}", f"quay.io/a/b_c__d-e:1@{A}"),
    ],
)
def test_references_have_one_long_form(text: str, long: str) -> None:
    assert str(Reference.parse(text)) == long
    assert str(Reference.parse(long)) == long


@pytest.mark.parametrize(
    "text", ["", "A/b", "a b", "x@sha256:12", "x:", "reg.io/X", "x//y", "https://x/y"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ImageReferenceError):
        Reference.parse(text)
    assert "is no image reference" in images(repr(text)).refusals[0]


def test_mirrors_go_by_the_longest_match_and_by_whole_names() -> None:
    done = images(
        "busybox:1",
        "quay.io/prometheus/node:1",
        "quay.io/prometheus2/x:1",
        "ghcr.io/x:1",
        mirrors=MIRRORS,
    )
    assert names(done) == [
        "mirror.local/hub/library/busybox:1",
        "mirror.local/prom/node:1",
        "mirror.local/quay/prometheus2/x:1",
        "ghcr.io/x:1",
    ]


def test_a_second_pass_changes_nothing_even_when_the_mirror_lies_below_its_source() -> None:
    mirrors = {"docker.io": "docker.io/mine"}
    once = images("busybox:1", mirrors=mirrors)
    assert names(once) == ["docker.io/mine/library/busybox:1"]
    again = release(once.output, only="images", images={"mirrors": mirrors})
    assert again.output == once.output


def test_pins_by_the_lock_file_before_or_behind_the_mirror(tmp_path: Path) -> None:
    locked = {"docker.io/library/busybox:1": A, "mirror.local/quay/x:2": B}
    (tmp_path / "images.lock.yaml").write_text(lock_file(locked, {}))
    listed = "".join(
        f"      - {{name: c{n}, image: '{name}'}}\n"
        for n, name in enumerate(["busybox:1", "quay.io/x:2"])
    )
    rules = {"mirrors": MIRRORS, "lock": "images.lock.yaml", "unpinned": "refuse"}
    done = release(pod(listed), tmp_path, only="images", images=rules)
    assert done.refusals == []
    assert names(done) == [f"mirror.local/hub/library/busybox:1@{A}", f"mirror.local/quay/x:2@{B}"]
    assert release(done.output, tmp_path, only="images", images=rules).output == done.output


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (
            "busybox:1",
            "images/mirror: the mirror map names another registry; the lock file pins it",
        ),
        (f"busybox:1@{B}", "images/mirror: the mirror map names another registry"),
        ("ghcr.io/x:2", "images/pin: the lock file pins it"),
    ],
)
def test_a_change_says_why(tmp_path: Path, image: str, why: str) -> None:
    locked = {"docker.io/library/busybox:1": A, "ghcr.io/x:2": A}
    (tmp_path / "lock.yaml").write_text(lock_file(locked, {}))
    rules = {"mirrors": MIRRORS, "lock": "lock.yaml"}
    done = release(
        pod(f"      - {{name: a, image: '{image}'}}\n"), tmp_path, only="images", images=rules
    )
    (change,) = done.done.findings.of(Severity.CHANGE)
    assert f"{change.rule}/{change.code}: {change.message}" == why


def test_a_digest_that_is_there_stays() -> None:
    done = images(f"busybox:1@{A}", unpinned="refuse", latest="refuse")
    assert (done.changes, done.refusals) == ([], [])


def test_policies() -> None:
    field = "Deployment db spec.template.spec.containers[c0].image: image"
    latest = images("busybox", latest="refuse").refusals
    assert latest == [
        f"{field} docker.io/library/busybox is `latest`: a restart may start another program;"
        " name a version, or pin it (tidb-postrender lock) [images/latest]"
    ]
    assert images("x/y:latest").warnings[0].startswith(f"{field} docker.io/x/y:latest is `latest`")
    assert images("busybox:1", unpinned="refuse").refusals == [
        f"{field} docker.io/library/busybox:1 has no digest, and the lock file none for"
        " docker.io/library/busybox:1; add it to the lock file (tidb-postrender lock) [images/unpinned]"
    ]
    assert images("ghcr.io/x:1", mirrors=MIRRORS, unmirrored="note").notes == [
        f"{field} ghcr.io/x:1 comes from ghcr.io, which no mirror covers;"
        " add rules.images.mirrors['ghcr.io'] [images/unmirrored]"
    ]
    assert images("busybox:1", mirrors=MIRRORS, unmirrored="refuse").refusals == []
    assert images("busybox", latest="allow").warnings == []


def test_image_volumes_are_images_too() -> None:
    extra = "      volumes: [{name: v, image: {reference: 'quay.io/x:1'}}]\n"
    done = release(
        pod("      - {name: a}\n", extra=extra), only="images", images={"mirrors": MIRRORS}
    )
    assert done.changes == [
        "spec.template.spec.volumes[v].image.reference: quay.io/x:1 -> mirror.local/quay/x:1"
    ]


def test_leaves_out_what_the_configuration_leaves_out() -> None:
    done = release(
        pod("      - {name: a, image: x}\n      - {name: b, image: x}\n"),
        only="images",
        images={"mirrors": MIRRORS, "exclude": [{"path": "*containers?a]"}]},
    )
    assert [line.split("[")[1][0] for line in done.changes] == ["b"]


def test_the_lock_file_lists_every_image_once_and_sorted() -> None:
    assert lock_file({"b:1": "", "a:1": A}, {"b:1": B}) == (
        "# Written by `tidb-postrender lock`.\napiVersion: helm-tidb.io/v1\nkind: ImageLock\nimages:\n"
        f'  "a:1": "{A}"\n  "b:1": "{B}"\n'
    )


def test_a_lock_file_is_whole_or_not_at_all() -> None:
    with pytest.raises(ConfigError) as caught:
        lock_file({"b:1": "", "a:1": "", "c:1": A}, {})
    assert str(caught.value) == (
        "no digest is known for\n  a:1\n  b:1\n"
        "add a line `reference sha256:…` for each to the list (--digests); nothing was written"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("busybox\n", "line 1: 'busybox': write `registry/name:tag sha256:<64 hex digits>`"),
        (f"# c\n\nbusybox:1 {A} x\n", "line 3"),
        ("x sha256:12\n", "line 1: 'x sha256:12': write"),
        (f"Bad//x {A}\n", "line 1: 'Bad//x' is no image reference"),
        (f"x:1 {A}\nx:1 {B}\n", "line 2: docker.io/library/x:1 has two digests, sha256:aaa"),
    ],
)
def test_a_wrong_list_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_list(tmp_path / "list")
    assert message in str(caught.value)


def test_a_list_may_be_lines_or_an_older_lock_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"# mirror's list\nbusybox:1 {A}\nquay.io/x:2@{B}  # why\n")
    found = read_list(tmp_path / "list")
    assert found == {"docker.io/library/busybox:1": A, "quay.io/x:2": B}
    (tmp_path / "old.yaml").write_text(lock_file(found, {}))
    assert read_list(tmp_path / "old.yaml") == found
