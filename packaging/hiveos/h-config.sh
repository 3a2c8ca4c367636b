#!/usr/bin/env bash
# Sourced by HiveOS before each start, with the flight sheet in CUSTOM_*. Writes the settings, or the
# reason why there are none, which h-run.sh shows.
# The values are passed through the environment, so that the shell never expands them.

progpow_miner_configure() {
	local here reason
	here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || return 1
	# shellcheck source=/dev/null
	[[ -n ${CUSTOM_CONFIG_FILENAME:-} ]] || . "$here/h-manifest.conf"
	reason=$CUSTOM_CONFIG_FILENAME.reason
	mkdir -p -- "$CUSTOM_LOG_BASENAME"
	CUSTOM_CONFIG_FILENAME=$CUSTOM_CONFIG_FILENAME \
	CUSTOM_LOG_BASENAME=$CUSTOM_LOG_BASENAME \
	CUSTOM_ALGO=${CUSTOM_ALGO:-} \
	CUSTOM_URL=${CUSTOM_URL:-} \
	CUSTOM_TEMPLATE=${CUSTOM_TEMPLATE:-} \
	CUSTOM_PASS=${CUSTOM_PASS:-} \
	CUSTOM_USER_CONFIG=${CUSTOM_USER_CONFIG:-} \
	WORKER_NAME=${WORKER_NAME:-} \
		"$here/python/bin/progpow-miner" -I -X utf8 "$here/farm" hive-config 2>"$reason"
	cat -- "$reason" >&2
}

progpow_miner_configure
