"""The one setting of the whole machine that a cluster changes: how many inotify instances root may have.

The default of 128 is gone with two or three nodes (kubelet, containerd and kube-proxy take some), and then a kubelet
dies of "too many open files". The old value waits in a file until the last cluster is gone.
"""

from __future__ import annotations

from pathlib import Path

from ci.cluster.layout import clusters_folder

SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 8192


def raise_inotify(setting: Path = SETTING) -> None:
    """Have at least ENOUGH; remember what it was."""
    old = setting.read_text().strip()
    if int(old) < ENOUGH:
        _remembered().write_text(old)
        setting.write_text(str(ENOUGH))


def restore_inotify(setting: Path = SETTING) -> None:
    """Put the old value back; nothing to do where it was high enough before the first cluster."""
    if _remembered().exists():
        setting.write_text(_remembered().read_text())
        _remembered().unlink()


def _remembered() -> Path:
    return clusters_folder() / "inotify-instances-before"
