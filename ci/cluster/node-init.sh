#!/bin/bash
# PID 1 of a node: what firmware, kernel and init system do on a real machine, in the node's own namespaces.
# Called by ci/cluster/node.py with TC_NAME, TC_DIR (the node's folder), TC_CGROUPS and the paths of the programs.
set -eu

hostname "$TC_NAME"
mount -t proc proc /proc
mount -t sysfs sysfs /sys

# Control groups: mounted again, so that the paths start at this node's own group.
if [ -z "$TC_CGROUPS" ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # ci/cluster/cgroups.py moves this process into the group `init`; what it starts must be born there.
  until [ "$(cat /proc/self/cgroup)" = 0::/init ]; do sleep 0.01; done
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
fi
for controller in $TC_CGROUPS; do
  mkdir "/sys/fs/cgroup/$controller"
  case $controller in
    systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd ;;
    unified) mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
    *) mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" ;;
  esac
done

# /run is empty after a boot. Upper layers there keep this node's changes of /etc and /var/lib off the host, and
# vanish with it; what a machine keeps is bound from the node's folder below.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/node/etc /run/node/etc-work /run/node/lib /run/node/lib-work /run/lock
mount -t overlay -o lowerdir=/etc,upperdir=/run/node/etc,workdir=/run/node/etc-work overlay /etc
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/node/lib,workdir=/run/node/lib-work overlay /var/lib
cp "$TC_DIR/machine-id" /etc/machine-id
rm -f /etc/resolv.conf
cp "$TC_DIR/resolv.conf" /etc/resolv.conf
mkdir -p /var/lib/kubelet /etc/cni/net.d
cp "$TC_DIR/cni.conflist" /etc/cni/net.d/10-bridge.conflist
mount --bind "$TC_DIR/kubelet" /var/lib/kubelet
mount --bind "$TC_DIR/log" /var/log
mount --bind "$TC_DIR/mnt" /mnt

# A private /dev with this node's disks and nothing else of the host's. (/sys still shows the whole machine.)
mkdir /run/dev
mount -t tmpfs -o mode=755 dev /run/dev
for name in null zero full random urandom tty kmsg fuse loop-control; do
  if [ -e "/dev/$name" ]; then cp -a "/dev/$name" "/run/dev/$name"; fi
done
mkdir -p /run/dev/pts /run/dev/shm /run/dev/mqueue /run/dev/disk/by-id
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /run/dev/pts
mount -t tmpfs -o mode=1777 shm /run/dev/shm
mount -t mqueue mqueue /run/dev/mqueue
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%%:*}" "/run/dev/${stream##*:}"; done
mount --move /run/dev /dev

# Containers get HostToContainer and Bidirectional mounts only below a shared root.
mount --make-rshared /

# The node's fstab. A disk that does not mount is left out, as with `nofail`: the node boots, the disk's folder is empty.
while read -r slot device minor fs by_id; do
  "$TC_DIR/insert-disk" "$slot" "$device" "$minor" "$fs" "$by_id" || echo "node-init: $slot did not mount" >&2
done < "$TC_DIR/disks.tab"

"$TC_CONTAINERD" --config "$TC_DIR/containerd.toml" --log-level warn >> /var/log/containerd.log 2>&1 &
"$TC_KUBE_PROXY" --config "$TC_DIR/kube-proxy.yaml" >> /var/log/kube-proxy.log 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
"$TC_KUBELET" --config "$TC_DIR/kubelet.yaml" --kubeconfig "$TC_DIR/kubelet.kubeconfig" \
  --hostname-override "$TC_NAME" --node-ip "$TC_ADDRESS" >> /var/log/kubelet.log 2>&1 &

# Wait for ever, and for whatever orphan falls to PID 1: a child without a parent is reaped here.
sleep infinity &
while :; do wait; done
