#!/bin/sh
# What `helm test` does: a member pays and is paid back, and proves the balance against genesis, offline.
set -eu

if [ ! -s /run/tester/tester.json ]; then
	echo "There is no Secret $TESTER_SECRET: make a member for tests first, as docs/operating/install.md shows." >&2
	exit 1
fi
icn() { /opt/icn/bin/start "$@"; }
export ICN_KEYSTORE=/tmp/keys ICN_DATA=/tmp/zone ICN_PASSPHRASE_FILE=/run/tester/passphrase
mkdir -p -m 700 "$ICN_KEYSTORE"
cp /run/tester/tester.json "$ICN_KEYSTORE/"
first=$(cat /run/tester/first) second=$(cat /run/tester/second)

icn connect "$GATEWAY" --genesis /run/genesis/genesis.json
icn status
icn pay "$second" 0.01 --from "$first" --as tester
icn pay "$first" 0.01 --from "$second" --as tester
icn proof fetch "accounts/$first" --out /tmp/proof.json
icn proof verify /tmp/proof.json --genesis /run/genesis/genesis.json
