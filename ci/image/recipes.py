"""What each image is made of. An image's inputs stand here and in the lists of pins, nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from ci.image.errors import UnknownImageError

NOBODY = 65532  # the usual "nonroot" of images without a login

# Enough of Debian's Python for programs that speak HTTP, TLS and JSON. Its curses, readline, dbm and nis modules (and
# sqlite, where nobody uses it) would each bring a library; they are cut, so that importing one says so at once.
_PYTHON = (
    "base-files",  # /etc/os-release: image scanners want to know whose packages these are
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libuuid1",
    "python3.11-minimal",
    "zlib1g",
)
_NOT_OF_PYTHON = (
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/python3.11/dbm",
    "usr/lib/python3.11/curses",
    "usr/lib/python3.11/lib-dynload/_curses*.so",
    "usr/lib/python3.11/lib-dynload/_dbm*.so",
    "usr/lib/python3.11/lib-dynload/nis*.so",
    "usr/lib/python3.11/lib-dynload/readline*.so",
)
_SQLITE = ("usr/lib/python3.11/sqlite3", "usr/lib/python3.11/lib-dynload/_sqlite3*.so")
_SERVERS = ("pd-server", "tikv-server", "tidb-server")
_PYTHON_ENV = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": "/app",
    "PYTHONUNBUFFERED": "1",
    # The root file system is read-only in the cluster; all is compiled when the image is made.
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Recipe:
    """One image, in two layers: what seldom changes, and above it this repository's own code.

    `debian`: Debian packages, unpacked and not installed: no maintainer script runs, no dependency comes along.
    `python`: an extra or a dependency group of pyproject.toml; its closure is installed in the pinned versions, less
    `python_without`.
    `programs`: path in the image → pinned tool. `links`: path → target. `code`: folders of this repository, below /app.
    `without`: globs from the image's root that are cut at the end. Documentation and locales always are.
    """

    name: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    user: int = NOBODY
    debian: tuple[str, ...] = ()
    python: str = ""
    python_without: tuple[str, ...] = ()
    programs: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    busybox: bool = False
    code: tuple[str, ...] = ()
    scripts: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    limit_mb: int = 130

    @property
    def ref(self) -> str:
        """The name under which nodes know it. One fixed tag: `imagePullPolicy: IfNotPresent` finds what was loaded."""
        return f"helm-tidb/{self.name}:dev"


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "pause", entrypoint=("/pause",), user=65535, programs={"pause": "pause"}, limit_mb=2
        ),
        Recipe(
            # sh, sleep, cat, nslookup, wget and the like for the cluster's own tests. Debian's static busybox crashes
            # in name look-ups, so this is the dynamic one with its libraries.
            "busybox",
            entrypoint=(),
            command=("sh",),
            user=0,
            debian=("base-files", "busybox", "libc6"),
            busybox=True,
            limit_mb=20,
        ),
        Recipe(
            "hooks",
            entrypoint=("python", "-m", "hooks"),
            debian=_PYTHON,
            python="hooks",
            # The asynchronous client is half of the kubernetes package, and hooks/kube does not use it.
            python_without=("aiohttp", "aiohttp-retry"),
            without=(
                *_NOT_OF_PYTHON,
                *_SQLITE,
                "usr/local/lib/python3.11/dist-packages/kubernetes/aio",
            ),
            links={"usr/bin/python": "python3.11", "usr/bin/python3": "python3.11"},
            code=("hooks", "schema"),
            environment=_PYTHON_ENV,
        ),
        Recipe(
            "standin",
            entrypoint=(),
            command=("sh",),
            # As PingCAP's images, which run as root.
            user=0,
            debian=(*_PYTHON, "busybox", "libsqlite3-0"),
            python="standin",
            busybox=True,
            without=_NOT_OF_PYTHON,
            programs={"usr/local/bin/etcd": "etcd"},
            links={"usr/bin/python": "python3.11", "usr/bin/python3": "python3.11"}
            # Where PingCAP's images have them.
            | {name: f"usr/local/bin/{name}" for name in _SERVERS},
            code=("tests/standin",),
            scripts={
                name: f'#!/bin/sh\nexec python -m tests.standin.{name.replace("-", "_")} "$@"\n'
                for name in _SERVERS
            },
            environment=_PYTHON_ENV,
        ),
        Recipe(
            "prometheus",
            entrypoint=("/usr/bin/prometheus",),
            command=(
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/prometheus",
            ),
            debian=("base-files", "libc6", "prometheus"),
            without=("etc/init.d", "etc/default", "usr/bin/promtool"),
            limit_mb=220,
        ),
    )
}


def recipe_of(name: str) -> Recipe:
    """Raises UnknownImageError, which names all there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownImageError(
            f"no image is called {name!r}; there are: {', '.join(RECIPES)}"
        ) from None
