#!/usr/bin/env bash
# Started by HiveOS in a screen, again and again: becomes the miner, so that signals and exit
# codes are the miner's own. The miner writes its log itself; what it says before it has read its
# settings goes into the log as well.

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" || exit 1
# shellcheck source=/dev/null
. ./h-manifest.conf
log=$CUSTOM_LOG_BASENAME.log
mkdir -p -- "$(dirname -- "$log")"
# HiveOS starts what failed without end, and only a miner that runs looks after its log.
if [[ -e $log && $(stat --format=%s -- "$log") -gt 20000000 ]]; then
	mv --force -- "$log" "$log.1"
fi

# The lock is the running miner's alone: it is given up by its end, however that comes.
exec 9>>"$CUSTOM_CONFIG_FILENAME.lock"
if ! flock --nonblock 9; then
	echo "$CUSTOM_NAME is already running" | tee --append -- "$log"
	exit 1
fi
if [[ ! -e $CUSTOM_CONFIG_FILENAME ]]; then
	echo "$CUSTOM_NAME: the flight sheet could not be used; 'miner config' says why" |
		tee --append -- "$log"
	exit 2
fi

exec ./progpow-miner mine --config "$CUSTOM_CONFIG_FILENAME" \
	2> >(exec tee --append -- "$log" >&2 9>&-)
