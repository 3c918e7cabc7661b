"""Debian packages that the project needs, by purpose: installed when root, named in one message when not.

The one place where a Debian package is named. Versions are the distribution's own (Debian 12): they get security
fixes without a commit here, and nothing of theirs is shipped to users.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# A purpose → its packages, each with a file that is there once the package is.
PURPOSES: dict[str, dict[str, str]] = {
    "python": {"python3-venv": "/usr/lib/python3.11/ensurepip/__init__.py"},
    "cluster": {
        "iproute2": "/usr/sbin/ip",
        "nftables": "/usr/sbin/nft",
        "xfsprogs": "/usr/sbin/mkfs.xfs",
        "e2fsprogs": "/usr/sbin/mkfs.ext4",
        "util-linux": "/usr/bin/nsenter",
        "mount": "/usr/sbin/losetup",
        "openssl": "/usr/bin/openssl",
        "conntrack": "/usr/sbin/conntrack",
    },
    "build": {
        "gcc": "/usr/bin/gcc",
        "libc6-dev": "/usr/include/stdlib.h",
        "libseccomp-dev": "/usr/include/seccomp.h",
        "pkg-config": "/usr/bin/pkg-config",
    },
    "argocd": {
        # redis-server would start a daemon on this machine; its program is in redis-tools.
        "redis-tools": "/usr/bin/redis-check-rdb",
        "gpg": "/usr/bin/gpg",
        "git": "/usr/bin/git",
    },
}


class DebianPackagesMissingError(Exception):
    """Packages are missing and this user may not install them; the message names them all."""


def missing(*purposes: str) -> list[str]:
    """The packages of these purposes that are not there."""
    return sorted(
        package
        for purpose in purposes
        for package, proof in PURPOSES[purpose].items()
        if not os.path.exists(proof)
    )


def ensure(*purposes: str) -> None:
    """Have all packages of these purposes, installing what is missing.

    Raises DebianPackagesMissingError when that is not possible: not root, no apt-get, or apt-get failed.
    """
    packages = missing(*purposes)
    if not packages:
        return
    command = f"apt-get install --yes --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise DebianPackagesMissingError(
            f"Debian packages are missing for {', '.join(purposes)}: run as root: {command}"
        )
    print(f"debian: installing {', '.join(packages)}", file=sys.stderr, flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for arguments in (
        ["update", "-qq"],
        ["install", "-qq", "--yes", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DebianPackagesMissingError(
                f"`apt-get {' '.join(arguments)}` failed ({done.returncode}): {done.stderr.strip()[-500:]}"
            )
