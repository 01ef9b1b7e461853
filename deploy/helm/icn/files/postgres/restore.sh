#!/bin/sh
# Unpacks a base backup, a tar.gz on stdin, where there is no cluster yet: whole and as its manifest says, or not at all.
# Postgres, which waits for it (start.sh), starts then.
set -eu

data=/var/lib/postgresql/cluster

if [ -e "$data" ]; then
	echo "this volume has a cluster already, which stays as it is: restore into a release that has new volumes" >&2
	exit 1
fi
rm -rf "$data.restored"
mkdir -m 700 "$data.restored"
tar --extract --gzip --directory="$data.restored"
pg_verifybackup --quiet "$data.restored" || { echo "this is no whole base backup: nothing was restored" >&2; exit 1; }
mv "$data.restored" "$data"
