
# Debian Policy, chapter 6: remove|purge|upgrade|disappear|…
case $1 in
remove)
	if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
	if command -v deb-systemd-helper >/dev/null; then deb-systemd-helper mask fairlead-helper.service >/dev/null || true; fi
	;;
purge)
	if command -v deb-systemd-helper >/dev/null; then
		deb-systemd-helper purge fairlead-helper.service >/dev/null || true
		deb-systemd-helper unmask fairlead-helper.service >/dev/null || true
	fi
	update-rc.d fairlead-helper remove >/dev/null
	remove_state
	;;
esac
