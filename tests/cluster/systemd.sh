# SPDX-License-Identifier: Apache-2.0
# Boots systemd as the first process of its own PID namespace: systemd.sh CONTROL-GROUP TARGET. Nothing that it or its
# services do reaches the machine: its control groups are all below the given one, kernel settings other than the
# network's can't be written, and neither can devices of /sys.
set -eu
group=$1 target=$2
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	echo $$ >"/sys/fs/cgroup$group/cgroup.procs"
else
	for hierarchy in /sys/fs/cgroup/*/; do
		[ -L "${hierarchy%/}" ] || echo $$ >"$hierarchy${group#/}/cgroup.procs"
	done
fi

inside='
set -eu
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
unified=no
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || unified=yes
mount --bind /sys /sys
mount -o remount,bind,ro /sys
if [ $unified = yes ]; then
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
	mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
mount -t tmpfs -o mode=755 tmpfs /run
for user in 0 1000 1001; do
	mkdir -p -m 700 /run/user/$user
	chown $user:$user /run/user/$user
done
chmod 755 /run/user
# What a machine runs at its start does not run here.
units=/etc/systemd/system
find $units -mindepth 2 -name "*.service" -o -mindepth 2 -name "*.timer" -o -mindepth 2 -name "*.socket" | xargs -r rm -f
find $units -mindepth 1 -type d -empty -delete
for unit in systemd-modules-load systemd-sysctl systemd-binfmt systemd-random-seed systemd-remount-fs systemd-udevd \
	systemd-udev-trigger systemd-networkd systemd-resolved systemd-timesyncd systemd-hwdb-update systemd-tmpfiles-setup-dev; do
	ln -sf /dev/null $units/$unit.service
done
ln -sf /dev/null $units/proc-sys-fs-binfmt_misc.automount
ln -sf /dev/null $units/sys-kernel-debug.mount
ln -sf /dev/null $units/sys-kernel-tracing.mount
ln -sf /dev/null $units/sys-fs-fuse-connections.mount
# Sockets in /dev would be seen by the machine.
ln -sf /dev/null $units/systemd-journald-dev-log.socket
ln -sf /dev/null $units/systemd-journald-audit.socket
ln -sf /dev/null $units/systemd-initctl.socket
ln -sf /dev/null $units/dbus.socket
printf "[Unit]\nDescription=A laptop\nRequires=basic.target\nAfter=basic.target\n" >$units/$0
exec setpriv --bounding-set=-sys_module,-sys_time,-sys_boot /lib/systemd/systemd --system --unit=$0 --log-target=console --show-status=no
'
exec unshare --mount --pid --cgroup --fork --kill-child --propagation private sh -c "$inside" "$target"
