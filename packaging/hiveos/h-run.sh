#!/usr/bin/env bash
# Started by HiveOS in a screen, in a loop without end; HiveOS records the screen. Stops the miner on
# HiveOS's ^C and then dies of it, which ends the loop. The miner writes its log; its standard error,
# where it reports invalid settings, is added to the log here.

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" || exit 1
# shellcheck source=/dev/null
. ./h-manifest.conf
log=$CUSTOM_LOG_BASENAME/miner.log
mkdir -p -- "$CUSTOM_LOG_BASENAME"
# A miner that fails at its start does not rotate its log.
if [[ -e $log && $(stat --format=%s -- "$log") -gt 20000000 ]]; then
	mv --force -- "$log" "$log.1"
fi

child=''
stopped=''
pass_on() {
	[[ -z $child ]] || kill -s "$1" -- "$child" 2>/dev/null
}
trap 'stopped=1; pass_on INT' INT
trap 'pass_on TERM' TERM
trap 'pass_on HUP' HUP

finish() {
	if [[ -n $stopped || -e ${MINER_STOP:-} ]]; then
		trap - INT
		kill -s INT -- $$
	fi
	exit "$1"
}

# A restart does not help; the pause keeps the reason on the screen.
refuse() {
	child=''
	trap 'stopped=1; pass_on TERM; finish 2' INT # a child in the background ignores ^C
	echo "$CUSTOM_NAME: the next attempt follows in 30 s; correct the flight sheet"
	sleep 30 9>&- &
	child=$!
	wait "$child"
	finish "$1"
}

# The miner inherits the lock; it is released however the miner ends.
exec 9>>"$CUSTOM_CONFIG_FILENAME.lock"
if ! flock --nonblock 9; then
	echo "$CUSTOM_NAME is already running" | tee --append -- "$log"
	exit 1
fi
if [[ ! -e $CUSTOM_CONFIG_FILENAME ]]; then
	{
		echo "$CUSTOM_NAME: the flight sheet cannot be used"
		cat -- "$CUSTOM_CONFIG_FILENAME.reason" 2>/dev/null
	} | tee --append -- "$log"
	refuse 2
fi

# In a process group of its own, the miner gets each signal once: the one that is passed on.
set -m
./progpow-miner mine --config "$CUSTOM_CONFIG_FILENAME" </dev/null \
	2> >(exec tee --append -- "$log" >&2 9>&-) &
child=$!
set +m
[[ -z $stopped ]] || pass_on INT
# A signal ends a wait early, also while the miner ends; the last wait returns its exit code.
while kill -s 0 -- "$child" 2>/dev/null; do
	wait "$child"
done
wait "$child"
code=$?
child=
case $code in
2 | 4) refuse "$code" ;;
*) finish "$code" ;;
esac
