
# The argument is how many versions are installed after this: 1 for the first.
make_group
if [ "$1" = 1 ]; then allow_first_users; fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ "$1" = 1 ]; then systemctl --quiet enable --now fairlead-helper.service; fi
elif [ "$1" = 1 ]; then
	systemctl --quiet enable fairlead-helper.service || true
fi
if [ "$1" = 1 ]; then say_who_may_connect; fi
