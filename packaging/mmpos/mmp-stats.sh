#!/usr/bin/env bash
# Called by mmpOS's agent with the number of devices and the log file, neither of which is
# needed: prints what the miner answers. Agents from 4.0.18 on may ask the miner themselves.

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=/dev/null
. "$here/mmp-external.conf"
exec "$here/python/bin/progpow-miner" -I "$here/farm" mmpos-stats "$here/config.toml" \
	"$EXTERNAL_VERSION"
