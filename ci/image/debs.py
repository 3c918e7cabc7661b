"""Debian packages for images: which version apt would install, fetched and unpacked, never installed.

The machine's own apt says where packages come from, and checks their signatures; so an image follows the machine's
Debian release, and its key holds every package's hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

from ci import cache
from ci.image.errors import ImagePackagesError

_APT = (Path("/var/lib/apt/lists"), Path("/etc/apt"))
# dpkg unpacks these below /usr since Debian merged the two; the archives still say /bin.
_MERGED = ("bin", "lib", "lib64", "sbin")
# Of every package; of usr/share/doc only the copyright stays.
LEFT_OUT = (
    "usr/share/applications",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
)


@dataclass(frozen=True)
class Deb:
    """One package as apt names it now."""

    package: str
    file: str  # libc6_2.36-9+deb12u14_amd64.deb
    sha256: str


def resolve(packages: tuple[str, ...]) -> list[Deb]:
    """What apt would fetch for these names, sorted. Raises ImagePackagesError.

    Remembered until apt's lists or settings change: asking apt takes 0.4 s, looking takes a few milliseconds.
    """
    if not packages:
        return []
    if shutil.which("apt-get") is None:
        raise ImagePackagesError(
            "images are made of Debian packages, and this machine has no apt-get; use Debian 12"
        )
    memory = (
        cache.root() / "debs" / f"resolved-{cache.key(repr(packages).encode(), _apt_state())}.json"
    )
    if memory.exists():
        return [Deb(**item) for item in json.loads(memory.read_text())]
    debs = _ask_apt(packages)
    memory.parent.mkdir(exist_ok=True)
    new = memory.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps([asdict(deb) for deb in debs]))
    new.replace(memory)
    return debs


def _ask_apt(packages: tuple[str, ...]) -> list[Deb]:
    done = _print_uris(packages)
    if done.returncode and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
        done = _print_uris(packages)
    line = re.compile(r"^'\S+' (\S+) \d+ SHA256:([0-9a-f]{64})$", re.MULTILINE)
    debs = [
        Deb(unquote(file).split("_", 1)[0], unquote(file), sha256)
        for file, sha256 in line.findall(done.stdout)
    ]
    lost = set(packages) - {deb.package for deb in debs}
    if done.returncode or lost:
        raise ImagePackagesError(
            f"apt-get knows no package for {', '.join(sorted(lost)) or 'some of the list'}; "
            f"run `apt-get update` as root (images need Debian 12): {done.stderr.strip()[-500:]}"
        )
    return sorted(debs, key=lambda deb: deb.package)


def _apt_state() -> bytes:
    """Changes whenever apt's answer could: names, sizes and times of its lists and settings."""
    paths = [path for folder in _APT for path in sorted(folder.rglob("*"))]
    return repr(
        [(str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in paths]
    ).encode()


def fetch(debs: list[Deb]) -> list[Path]:
    """The .deb files, from the cache or from apt; hashes checked. Raises ImagePackagesError."""
    folder = cache.root() / "debs"
    folder.mkdir(exist_ok=True)
    with cache.lock("debs"):
        missing = [deb for deb in debs if not (folder / deb.sha256).exists()]
        if missing:
            partial = folder / ".partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            # As root, apt would drop to its own user, which may not write here.
            command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq"]
            done = subprocess.run(
                [*command, *(f"{deb.package}={_version(deb)}" for deb in missing)],
                cwd=partial,
                capture_output=True,
                text=True,
                check=False,
            )
            for deb in missing:
                found = partial / deb.file.replace(":", "%3a")
                if not found.exists() or _sha256(found) != deb.sha256:
                    raise ImagePackagesError(
                        f"`{' '.join(command)}` did not bring {deb.file} with the hash that apt names; "
                        f"if it is out of date, run `apt-get update` as root: {done.stderr.strip()[-500:]}"
                    )
                found.rename(folder / deb.sha256)
            shutil.rmtree(partial)
    return [folder / deb.sha256 for deb in debs]


def unpack(deb: Deb, file: Path, root: Path) -> None:
    """Unpack one package below `root`, less documentation and translations; note it where image scanners look."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    command = ["dpkg-deb", "--fsys-tarfile", str(file)]
    try:
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as archive,
        ):
            for member in archive:
                if _wanted(member.name):
                    member.name = _merged(member.name)
                    if member.islnk():
                        member.linkname = _merged(member.linkname)
                    archive.extract(member, root, filter=_as_packed)
    except tarfile.ReadError as error:
        raise ImagePackagesError(
            f"dpkg-deb cannot read {deb.file} ({file}); delete it and run again"
        ) from error
    status = root / "var/lib/dpkg/status.d"
    status.mkdir(parents=True, exist_ok=True)
    control = subprocess.run(["dpkg-deb", "--field", str(file)], capture_output=True, check=True)
    (status / deb.package).write_bytes(control.stdout)


def _print_uris(packages: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "--print-uris", "download", *packages]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _version(deb: Deb) -> str:
    return deb.file.split("_")[1].replace("%3a", ":")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _merged(name: str) -> str:
    plain = name.removeprefix("./")
    return f"usr/{plain}" if plain.split("/", 1)[0] in _MERGED else plain


def _wanted(name: str) -> bool:
    plain = _merged(name)
    if plain in ("", "."):
        return False
    if plain.startswith("usr/share/doc/"):
        return plain.endswith("/copyright") or plain.count("/") == 3
    return not plain.startswith(LEFT_OUT) and "/gconv" not in plain


def _as_packed(member: tarfile.TarInfo, _path: str) -> tarfile.TarInfo:
    """Signed packages are trusted with links and modes; owners are set when the layer is written."""
    return member
