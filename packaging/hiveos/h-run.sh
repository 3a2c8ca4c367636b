#!/usr/bin/env bash
# Started by HiveOS in a screen, and restarted without end. Replaced by the miner, so that signals
# and exit codes are the miner's. The miner writes its log; its standard error, where it reports
# invalid settings, is added to the log here.

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" || exit 1
# shellcheck source=/dev/null
. ./h-manifest.conf
log=$CUSTOM_LOG_BASENAME.log
mkdir -p -- "$(dirname -- "$log")"
# A miner that fails at its start does not rotate its log.
if [[ -e $log && $(stat --format=%s -- "$log") -gt 20000000 ]]; then
	mv --force -- "$log" "$log.1"
fi

# The miner inherits the lock; it is released however the miner ends.
exec 9>>"$CUSTOM_CONFIG_FILENAME.lock"
if ! flock --nonblock 9; then
	echo "$CUSTOM_NAME is already running" | tee --append -- "$log"
	exit 1
fi
if [[ ! -e $CUSTOM_CONFIG_FILENAME ]]; then
	echo "$CUSTOM_NAME: the flight sheet is invalid; 'miner config' prints the reason" |
		tee --append -- "$log"
	exit 2
fi

exec ./progpow-miner mine --config "$CUSTOM_CONFIG_FILENAME" \
	2> >(exec tee --append -- "$log" >&2 9>&-)
