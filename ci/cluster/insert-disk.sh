#!/bin/bash
# Inside a node: a disk appears in a slot. Makes its device and by-id link, and mounts it if it has a file system.
# nouuid: a disk that was pulled while a pod still holds its old mount has been shut down there and writes no more.
set -eu
slot=$1 device=$2 minor=$3 fs=$4 by_id=$5
mkdir -p "/mnt/disks/$slot"
rm -f "/dev/$device"
mknod -m 660 "/dev/$device" b 7 "$minor"
ln -sf "../../$device" "/dev/disk/by-id/$by_id"
case $fs in
  xfs) mount -t xfs -o nouuid "/dev/$device" "/mnt/disks/$slot" ;;
  ext4) mount -t ext4 "/dev/$device" "/mnt/disks/$slot" ;;
esac
