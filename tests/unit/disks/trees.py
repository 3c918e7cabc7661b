"""Expand a recorded layout (`fixtures/*.tree`, see the README there) into a tree that the agent's functions read."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hooks.disks.filesystem import Contents, Folder
from hooks.disks.host import Host
from hooks.disks.mountinfo import Mount
from hooks.disks.observe import Snapshot, observe

FIXTURES = Path(__file__).parent / "fixtures"
DISCOVERY = "/mnt/disks"


@dataclass
class Expected:
    device: str
    disks: tuple[str, ...]
    identity: str
    problems: tuple[str, ...]


@dataclass
class Tree:
    """One machine, expanded below `root`."""

    root: Path
    mounts: list[str] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)
    contents: dict[str, Contents] = field(default_factory=dict)
    expected: dict[str, Expected] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    slaves: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host.at(self.root)

    def observe(self) -> Snapshot:
        """Plain folders of the discovery directory lie below the tree's root too; paths are told without it."""
        inside = str(self.root) + DISCOVERY
        mounts = [line.replace(" " + DISCOVERY, " " + inside) for line in self.mounts]
        self.write("proc/self/mountinfo", "\n".join(mounts) + "\n")
        swaps = [
            line.replace(DISCOVERY, inside) if line.startswith("/mnt") else line
            for line in self.swaps
        ]
        self.write("proc/swaps", "\n".join(["Filename Type Size Used Priority", *swaps]) + "\n")
        for point in self.contents:
            (self.root / point[1:]).mkdir(parents=True, exist_ok=True)
        return observe(self.host, inside, self.look)

    def look(self, mounts: Iterable[Mount]) -> dict[Mount, Contents]:
        known = {str(self.root) + path: contents for path, contents in self.contents.items()}
        return {
            mount: known.get(mount.point)
            or Contents(1 << 40, f"00000000-0000-4000-8000-{mount.id:012x}")
            for mount in mounts
        }

    def told(self, path: str) -> str:
        return path.removeprefix(str(self.root))

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def link(self, path: str, target: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)


def expand(name: str, root: Path) -> Tree:
    tree = Tree(root)
    folder = Path()
    for line in (FIXTURES / f"{name}.tree").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            key, _, value = line.strip().partition(" ")
            tree.write(f"{folder}/{key}", value + "\n")
            continue
        verb, _, rest = line.partition(" ")
        if verb == "block":
            folder = _block(tree, *shlex.split(rest))
        else:
            _VERBS[verb](tree, rest)
    for device, slave in tree.slaves:
        _bind(tree, device, slave)
    return tree


def _block(tree: Tree, path: str, number: str, *options: str) -> Path:
    folder = Path("sys") / path
    name = folder.name
    tree.write(f"{folder}/dev", number + "\n")
    said = dict(option.split("=", 1) for option in options)
    if "partition" in said:
        tree.write(f"{folder}/partition", said["partition"] + "\n")
    else:
        tree.link(f"sys/block/{name}", f"../{path}")
    tree.link(f"sys/class/block/{name}", f"../../{path}")
    tree.link(f"sys/dev/block/{number}", f"../../{path}")
    tree.slaves += [(folder, slave) for slave in said.get("slaves", "").split(",") if slave]
    return folder


def _bind(tree: Tree, device: Path, slave: str) -> None:
    below = (tree.root / "sys/class/block" / slave).resolve()
    above = (tree.root / device).resolve()
    for folder, target in ((above / "slaves", below), (below / "holders", above)):
        folder.mkdir(exist_ok=True)
        (folder / target.name).symlink_to(os.path.relpath(target, folder))


def _link(tree: Tree, rest: str) -> None:
    path, target = shlex.split(rest)
    tree.link(path.lstrip("/"), target)


def _file(tree: Tree, rest: str) -> None:
    path, _, text = rest.partition(" ")
    tree.write(path.lstrip("/"), text + "\n")


def _udev(tree: Tree, rest: str) -> None:
    number, *facts = shlex.split(rest)
    tree.write(f"run/udev/data/b{number}", "".join(f"E:{fact}\n" for fact in facts))


def _contents(tree: Tree, rest: str) -> None:
    path, *words = shlex.split(rest)
    said = dict(word.split("=", 1) for word in words)

    def names(key: str) -> tuple[str, ...]:
        return tuple(name for name in said.get(key, "").split(",") if name)

    if "error" in said:
        number = getattr(errno, said["error"])
        contents = Contents(error=os.strerror(number), broken=number == errno.EIO)
    else:
        folders = [Folder(n, False) for n in names("folders")] + [
            Folder(n, True) for n in names("empty")
        ]
        contents = Contents(
            size_bytes=int(said["size"]),
            uuid=said.get("uuid"),
            folders=tuple(sorted(folders, key=lambda folder: folder.name)),
            foreign=names("foreign"),
        )
    tree.contents[path] = contents


def _expect(tree: Tree, rest: str) -> None:
    path, *words = shlex.split(rest)
    said = {key: value for key, _, value in (word.partition("=") for word in words)}
    said = {key: "" if value == "-" else value for key, value in said.items()}
    tree.expected[said["device"] if path == "-" else path] = Expected(
        device=said["device"],
        disks=tuple(said["disks"].split(",")) if said["disks"] else (),
        identity=said["identity"],
        problems=tuple(said["problems"].split(",")) if said["problems"] else (),
    )


def _said(tree: Tree, rest: str) -> None:
    path, _, words = rest.partition(" ")
    tree.said.append((path, words))


_VERBS = {
    "mount": lambda tree, rest: tree.mounts.append(rest),
    "swap": lambda tree, rest: tree.swaps.append(rest),
    "link": _link,
    "file": _file,
    "udev": _udev,
    "contents": _contents,
    "expect": _expect,
    "said": _said,
}
