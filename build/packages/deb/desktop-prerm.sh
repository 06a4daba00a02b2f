
if [ "$1" = remove ]; then end_programs /usr/bin/fairlead-desktop; fi
