
# The argument is how many versions stay installed: 0 when the package goes.
if [ "$1" = 0 ]; then
	end_programs /usr/bin/fairlead
	if [ -d /run/systemd/system ]; then systemctl --quiet disable --now fairlead-helper.service; fi
	"$helper" restore >/dev/null
fi
