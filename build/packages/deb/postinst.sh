
# Debian Policy, chapter 6: configure [version before] and others
if [ "$1" = configure ]; then
	make_group
	allow_first_users
	deb-systemd-helper unmask fairlead-helper.service >/dev/null || true
	if deb-systemd-helper --quiet was-enabled fairlead-helper.service; then
		deb-systemd-helper enable fairlead-helper.service >/dev/null || true
	else
		deb-systemd-helper update-state fairlead-helper.service >/dev/null || true
	fi
	if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
	update-rc.d fairlead-helper defaults >/dev/null
	if [ -z "${2:-}" ]; then
		invoke-rc.d fairlead-helper start
		say_who_may_connect
	else
		# Connections are resumed by their owners' daemons.
		invoke-rc.d fairlead-helper restart
	fi
fi
