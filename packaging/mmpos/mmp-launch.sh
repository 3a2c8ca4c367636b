#!/usr/bin/env bash
# Started by mmpOS with --coin, --pool, --user, --password and --api-port, which become settings, so
# that the password is not on the miner's command line. Passes the other arguments to the miner.

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
config=$here/config.toml
own=$(mktemp) || exit 1
"$here/python/bin/progpow-miner" -I -X utf8 "$here/farm" mmpos-launch "$config" "$@" >"$own"
code=$?
mapfile -d '' -t arguments <"$own"
rm -f -- "$own"
[[ $code -eq 0 ]] || exit "$code"
exec "$here/progpow-miner" mine --config "$config" "${arguments[@]}"
