
# Debian Policy, chapter 6: install|upgrade|abort-upgrade
case $1 in
install | upgrade) supersede_own_install ;;
esac
