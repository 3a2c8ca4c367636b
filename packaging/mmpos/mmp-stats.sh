#!/usr/bin/env bash
# Called by mmpOS's agent with the number of devices and the log file, which are not used. Prints the
# miner's statistics. Agents from 4.0.18 on can request them from the miner.

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=/dev/null
. "$here/mmp-external.conf"
exec "$here/python/bin/progpow-miner" -I "$here/farm" mmpos-stats "$here/config.toml" \
	"$EXTERNAL_VERSION"
