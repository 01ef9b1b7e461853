#!/bin/sh
# Becomes NATS, which reads its certificates again when they were replaced; connections stay.
set -eu

FOLLOWED=/run/tls
. /etc/nats/supervise.sh

changed() {
	echo "certificates were replaced: reading them" >&2
	kill -HUP "$server"
}

supervise nats-server --config /etc/nats/nats.conf
