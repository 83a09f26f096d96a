#!/bin/busybox sh
# First process of the guest: mounts the machine's own files, read-only, under an overlay in memory, and goes there.
# Written to the initramfs by `cargo xtask vm`; /guest.sh comes by the folder `guest`.
set -e
PATH=/bin
busybox mkdir -p /proc /sys /dev /upper /lower /root /guest
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do
    busybox insmod "$module"
done
# Only to see whether this kind of machine boots.
if busybox grep -q xtask.probe /proc/cmdline; then
    echo "xtask: booted" >/dev/ttyS1
    busybox poweroff -f
fi
share=trans=virtio,version=9p2000.L,msize=262144,cache=loose
busybox mount -t 9p -o "ro,$share" root /lower
busybox mount -t 9p -o "ro,$share" guest /guest
busybox mount -t tmpfs -o size=60% tmpfs /upper
busybox mkdir /upper/files /upper/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
for folder in proc sys dev; do
    busybox mount --move "/$folder" "/root/$folder"
done
cd /root
busybox mount -t tmpfs -o mode=755 tmpfs run
# Servers ask their files for direct access. Memory says no until Linux 6.6; an overlay on it says yes and then fails.
busybox mount -t tmpfs -o size=60%,mode=1777 tmpfs tmp
# As udev does: without it, the TOMOYO of Linux 5.10 finds no name for a program that is run by its descriptor.
busybox ln -s /proc/self/fd dev/fd
busybox mkdir -p dev/pts dev/shm
busybox mount -t devpts devpts dev/pts
busybox mount -t tmpfs -o mode=1777 tmpfs dev/shm
busybox mount -t cgroup2 cgroup2 sys/fs/cgroup
busybox ifconfig lo 127.0.0.1 up
busybox cp /guest/guest.sh run/guest.sh
busybox umount /guest
exec busybox switch_root /root /bin/sh /run/guest.sh
