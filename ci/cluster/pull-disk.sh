#!/bin/bash
# Inside a node: a disk is pulled out of its slot. Every read and write of whoever still uses it fails from now on, the
# device and its links are gone, and the mount is taken away, as systemd does when a device unit vanishes.
set -eu
slot=$1 device=$2 by_id=$3
# Asked of mountinfo: a disk that failed before answers no stat, and cannot be shut down a second time.
if grep -q " /mnt/disks/$slot " /proc/self/mountinfo; then
  xfs_io -F -x -c shutdown "/mnt/disks/$slot" 2> /dev/null || stat "/mnt/disks/$slot" 2>&1 | grep -q 'Input/output error'
  umount --lazy "/mnt/disks/$slot"
fi
rm -f "/dev/$device" "/dev/disk/by-id/$by_id"
