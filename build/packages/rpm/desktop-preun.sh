
if [ "$1" = 0 ]; then end_programs /usr/bin/fairlead-desktop; fi
