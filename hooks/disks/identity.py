"""A disk's identity: what stays the same when its kernel name, its path and its slot change.

Best first: World Wide Name, NVMe eui/nguid/uuid, serial number, and for a mounted disk without any of these the
file system's UUID. Kernel names (sdb) and mount paths are never identities: they change across boots. The forms are
those of schema/inventory.schema.yaml, in letters that fit its pattern.
"""

from __future__ import annotations

import re
from pathlib import Path

from hooks.disks.host import attribute

_UNFIT = re.compile(r"[^a-z0-9._:+-]+")
_LENGTH = 180  # of 200: room for "-part12"
# What drives that have no number answer instead of one.
_PLACEHOLDERS = frozenset(
    {"none", "unknown", "n_a", "na", "default", "0123456789", "to_be_filled_by_o.e.m"}
)


def from_kernel(folder: Path) -> str | None:
    """From a whole disk's sysfs folder: NVMe `wwid`, SCSI and SATA `device/wwid`, and serial numbers.

    The kernel's word comes first: it is there as soon as the disk is, whereas udev's record and links follow later,
    and an identity must not change between two scans.
    """
    return (
        from_wwid(attribute(folder / "wwid"))
        or from_wwid(attribute(folder / "device/wwid"))
        or _plain_serial(folder)
    )


def from_wwid(wwid: str | None) -> str | None:
    """From the kernel's one-line id: naa.… (a WWN), eui.… and uuid.… (NVMe), nvme.… and t10.… (model and serial)."""
    kind, dot, value = (wwid or "").partition(".")
    if not dot:
        return None
    if kind == "naa":
        return _named("wwn-0x", value)
    if kind in ("eui", "uuid"):
        return _named(f"nvme-{kind}.", value)
    return _named("serial-", value)


def from_udev(facts: dict[str, str]) -> str | None:
    """From udev's record: ID_WWN_WITH_EXTENSION, ID_WWN, ID_SERIAL."""
    for key in ("ID_WWN_WITH_EXTENSION", "ID_WWN"):
        value = facts.get(key, "")
        found = _named("wwn-", value) if value.startswith("0x") else from_wwid(value)
        if found and not found.startswith("serial-"):
            return found
    return _named("serial-", facts.get("ID_SERIAL"))


def from_links(names: list[str]) -> str | None:
    """From the names that udev gave the disk below /dev/disk/by-id."""
    for name in names:
        if name.startswith("wwn-0x") and (found := _named("wwn-", name.removeprefix("wwn-"))):
            return found
    for name in names:
        if name.startswith(("nvme-eui.", "nvme-uuid.")):
            return from_wwid(name.removeprefix("nvme-"))
    for name in names:
        # `md-uuid-`, `dm-name-`, `lvm-pv-uuid-` name what lies on a disk, not the disk.
        bus, _, value = name.partition("-")
        if bus in ("ata", "nvme", "scsi", "virtio", "usb", "mmc") and (
            found := _named("serial-", value)
        ):
            return found
    return None


def from_mapping(dm_uuid: str) -> str | None:
    """Of a device-mapper volume that is a part of its disk (LVM): the mapping's own id."""
    return _named("dm-", dm_uuid)


def from_array(md_uuid: str | None) -> str | None:
    return _named("md-", md_uuid)


def from_filesystem(uuid: str | None) -> str | None:
    return _named("fsuuid-", uuid)


def _plain_serial(folder: Path) -> str | None:
    """A bare serial number says little: two makers may count alike. The model goes with it where there is one."""
    serial = attribute(folder / "device/serial") or attribute(folder / "serial")
    if not serial or not _named("", serial):
        return None
    words = (attribute(folder / "device/vendor"), attribute(folder / "device/model"), serial)
    known = [word for word in words if word and not word.startswith("0x")]
    return _named("serial-", "_".join(known))


def _named(kind: str, value: str | None) -> str | None:
    text = _UNFIT.sub("_", (value or "").strip().lower()).strip("_.")
    text = re.sub(r"__+", "_", text)
    # All zeros is what a drive says that was given no number.
    if text in _PLACEHOLDERS or not text.removeprefix("0x").strip("0-"):
        return None
    return f"{kind}{text}"[:_LENGTH]
