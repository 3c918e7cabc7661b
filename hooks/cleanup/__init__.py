"""Remove what nothing needs any more: claims, Tombstones, schedulers, volumes, notes, pods. Begin with plan.py."""
