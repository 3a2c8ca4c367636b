#!/usr/bin/env bash
# Sourced by HiveOS's agent about every ten seconds. Sets khs and stats, and no other variable.

khs=0
stats=null

# shellcheck disable=SC2034  # the agent reads them
progpow_miner_stats() {
	local here config answer=()
	here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || return 0
	# shellcheck source=/dev/null
	config=$(. "$here/h-manifest.conf" && echo "$CUSTOM_CONFIG_FILENAME")
	mapfile -t answer < <(
		"$here/python/bin/progpow-miner" -I "$here/farm" hive-stats "$config" 2>/dev/null
	)
	[[ ${#answer[@]} -eq 2 ]] || return 0
	khs=${answer[0]}
	stats=${answer[1]}
}

progpow_miner_stats
