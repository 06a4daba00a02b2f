
# Debian Policy, chapter 6: remove|upgrade|deconfigure|failed-upgrade
if [ "$1" = remove ]; then
	end_programs /usr/bin/fairlead
	# It puts everything back as it stops; restore is for the case that it was killed.
	invoke-rc.d fairlead-helper stop
	"$helper" restore >/dev/null
fi
