"""Real mounts, in a mount namespace of the test's own: what only the kernel can answer.

Bind mounts inside a folder to be cleared, a disk that is exchanged or unmounted between look and deed, and waking up
when the mount table changes.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

SETUP = """
import dataclasses, os, subprocess, sys, threading
from pathlib import Path
from hooks.disks import marker, mountinfo, wipe
from hooks.disks.filesystem import MountChangedError, look, open_root
from hooks.disks.host import Host
from hooks.disks.observe import observe
from tests.unit.disks import worlds
from tests.unit.disks.worlds import fill, folder, mark, opened, request

def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)

def umount(*words):
    subprocess.run(["umount", *map(str, words)], check=True)

def mounts():
    return mountinfo.visible(mountinfo.parse(Path("/proc/self/mountinfo").read_text()))

base = Path(sys.argv[1])
disk = base / "disk"
disk.mkdir()
mount("-t", "tmpfs", "disk", disk)
mark(disk)
(disk / folder()).mkdir()
fill(disk / folder())

def clear(root=disk):
    with opened(root) as descriptor:
        wipe.clear(descriptor, request(wipe=True), proceed=lambda: True, progress=wipe.Progress(), trim=False)
"""


def in_own_namespace(tmp_path: Path, script: str) -> str:
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--map-root-user",
            sys.executable,
            "-c",
            SETUP + textwrap.dedent(script),
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_mount_inside_the_folder_refuses_before_anything_goes(tmp_path: Path) -> None:
    said = in_own_namespace(
        tmp_path,
        """
        (disk / "other").mkdir()
        (disk / "other" / "precious").write_text("keep")
        # The same file system: st_dev tells nothing here.
        mount("--bind", disk / "other", disk / folder() / "raft")
        before = sorted(map(str, disk.rglob("*")))
        (disk / "other").rename(disk / folder() / "z")
        try:
            clear()
        except wipe.RefusedError as error:
            print(error.reason, error)
        assert (disk / folder() / "z" / "precious").read_text() == "keep"
        assert (disk / folder() / "db" / "LOCK").exists()
        umount(disk / folder() / "raft")
        clear()
        print(sorted(path.name for path in disk.iterdir()))
        """,
    )
    assert said.splitlines() == [
        "in-use something is mounted on raft, inside the folder to be cleared",
        "['.helm-tidb.json']",
    ]


def test_a_disk_exchanged_between_look_and_deed_is_not_opened(tmp_path: Path) -> None:
    said = in_own_namespace(
        tmp_path,
        """
        seen = mounts()[str(disk)][0]
        os.close(open_root(seen))
        (base / "spare").mkdir()
        mount("-t", "tmpfs", "another", base / "spare")
        umount(disk)
        for what in ("the root disk's empty folder", "another disk"):
            try:
                open_root(seen)
            except MountChangedError as error:
                print(what, "refused")
            print(look(seen).error.split(" leads ")[0] == str(disk))
            mount("--bind", base / "spare", disk)
        # The kernel gives the ids of gone mounts to new ones: the id alone would not do.
        try:
            open_root(dataclasses.replace(seen, id=mounts()[str(disk)][0].id))
        except MountChangedError as error:
            print("reused id refused")
        """,
    )
    assert said.splitlines() == [
        "the root disk's empty folder refused",
        "True",
        "another disk refused",
        "True",
        "reused id refused",
    ]


def test_a_disk_unmounted_after_it_was_opened_keeps_what_follows_to_itself(tmp_path: Path) -> None:
    said = in_own_namespace(
        tmp_path,
        """
        descriptor = open_root(mounts()[str(disk)][0])
        umount("--lazy", disk)
        (disk / folder()).mkdir()
        (disk / folder() / "on the root disk").write_text("keep")
        wipe.clear(descriptor, request(wipe=True), proceed=lambda: True, progress=wipe.Progress(), trim=False)
        print(sorted(os.listdir(descriptor)), sorted(os.listdir(disk / folder())))
        """,
    )
    assert said.strip() == "['.helm-tidb.json'] ['on the root disk']"


def test_the_kernels_own_mount_table_is_understood(tmp_path: Path) -> None:
    said = in_own_namespace(
        tmp_path,
        """
        (base / "plain").mkdir()
        (base / "with space").mkdir()
        mount("-t", "tmpfs", "odd", base / "with space")
        (base / "link").symlink_to(disk)
        (base / "bound").mkdir()
        mount("--bind", disk / folder(), base / "bound")
        found = observe(Host(), str(base), lambda asked: {m: look(m) for m in asked})
        for candidate in found.candidates:
            mount_ = candidate.mount
            print(os.path.basename(candidate.path), mount_ and (mount_.kind, mount_.root, mount_.source),
                  candidate.contents.error, bool(candidate.contents.marker))
        """,
    )
    assert said.splitlines() == [
        f"bound ('tmpfs', '/{_folder()}', 'disk') None False",
        "disk ('tmpfs', '/', 'disk') None True",
        "plain None None False",
        "with space ('tmpfs', '/', 'odd') None False",
    ]


def _folder() -> str:
    from tests.unit.disks.worlds import folder

    return folder()


def test_a_mount_wakes_the_agent(tmp_path: Path) -> None:
    said = in_own_namespace(
        tmp_path,
        """
        import time
        from hooks.disks.job import Waker
        waker = Waker()
        for what in (lambda: mount("-t", "tmpfs", "new", base), lambda: umount(base), waker.wake):
            waker.wait(0)
            threading.Thread(target=what).start()
            began = time.monotonic()
            waker.wait(30)
            print(time.monotonic() - began < 5)
        began = time.monotonic()
        waker.wait(0.2)
        print(time.monotonic() - began > 0.15)
        """,
    )
    assert said.split() == ["True"] * 4
