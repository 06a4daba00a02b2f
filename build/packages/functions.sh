# SPDX-License-Identifier: Apache-2.0
# The beginning of every script of the packages: build.sh puts it before each.

helper=/usr/sbin/fairlead-helper
# Says that the group is the package's own, and goes with it.
group_mark=/var/lib/fairlead/group-made-by-package

# A helper that "fairlead helper install" made, from a build or an archive, makes room. Who may use it stays.
supersede_own_install() {
	own=/usr/local/libexec/fairlead/fairlead-helper
	policy=/etc/fairlead/helper.json
	[ -x "$own" ] || return 0
	kept=$(mktemp)
	if [ -e "$policy" ]; then cat "$policy" >"$kept"; fi
	"$own" uninstall
	if [ -s "$kept" ]; then
		mkdir -p "${policy%/*}"
		cat "$kept" >"$policy"
		chmod 644 "$policy"
	fi
	rm -f "$kept"
}

make_group() {
	! getent group fairlead >/dev/null || return 0
	groupadd --system fairlead
	mkdir -p -m 0700 "${group_mark%/*}"
	: >"$group_mark"
}

# On the first installation the group may connect, and whoever installs with sudo or pkexec.
allow_first_users() {
	[ ! -e /etc/fairlead/helper.json ] || return 0
	uid=${SUDO_UID:-${PKEXEC_UID:-0}}
	case $uid in
	0 | *[!0-9]*) "$helper" allow --group fairlead >/dev/null ;;
	*) "$helper" allow --group fairlead --user "$uid" >/dev/null ;;
	esac
}

say_who_may_connect() {
	uid=${SUDO_UID:-${PKEXEC_UID:-0}}
	name=$(getent passwd "$uid" | cut -d: -f1)
	if [ "$uid" != 0 ] && [ -n "$name" ]; then
		echo "Fairlead: $name may connect now: fairlead open (or 'Fairlead' in the menu), or fairlead connect."
		echo "Others join the group fairlead: sudo usermod --append --groups fairlead USER"
	else
		echo "Fairlead: who is in the group fairlead may connect: usermod --append --groups fairlead USER"
		echo "That user then runs: fairlead open (or 'Fairlead' in the menu), or fairlead connect."
	fi
}

# Ends the processes of a program, whoever runs it, and waits until they are gone. Those of containers are not ours.
end_programs() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		left=
		for process in /proc/[0-9]*; do
			case $(readlink "$process/exe" 2>/dev/null || true) in
			"$1" | "$1 (deleted)") [ "$process/root" -ef / ] || continue ;;
			*) continue ;;
			esac
			kill -TERM "${process#/proc/}" 2>/dev/null || continue
			left=yes
		done
		[ -n "$left" ] || return 0
		sleep 0.3
	done
	echo "Some processes of $1 have not ended." >&2
}

# What the service and the scripts made outside of the package.
remove_state() {
	if [ -e "$group_mark" ]; then groupdel fairlead 2>/dev/null || true; fi
	rm -f /etc/fairlead/helper.json /var/log/fairlead-helper.log
	if [ -d /etc/fairlead ]; then rmdir --ignore-fail-on-non-empty /etc/fairlead; fi
	rm -rf /var/lib/fairlead /run/fairlead /run/fairlead-helper.pid
}
