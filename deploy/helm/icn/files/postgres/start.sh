#!/bin/sh
# Makes the cluster where there is none, gives each role in ROLES its password and schema, then runs Postgres. In a pod of
# its own (FOLLOWED) it gives roles the passwords that were replaced in their Secrets, and reads new certificates: connections
# stay. In a validator's pod they count from the pod's next start, when the other containers have them, too.
set -eu

data=/var/lib/postgresql/cluster
secrets=/run/passwords

# One server per volume: a pod that was deleted by force may still run here while its successor starts. Postgres' own
# lock file names a process, which in another container means nothing; this lock ends with the last of its processes.
exec 9>/var/lib/postgresql/lock
flock --wait 120 9 || { echo "another Postgres still runs on this volume after 120 s: this one does not start" >&2; exit 1; }
rm -f "$data/postmaster.pid"

# A checkpoint and the next files of the write-ahead log must find room, or Postgres ends while it starts.
set -- $(df -Pm "$(dirname "$data")" | tail -n 1) "$@"
size_mib=$2 free_mib=$4
shift 6
if [ "$free_mib" -lt 48 ]; then
	echo "The volume of Postgres has $free_mib of $size_mib MiB free and a start needs 48: make the volume larger, as docs/operating/runbooks/IcnVolumeNearlyFull.md says. Nothing on it is to be deleted by hand." >&2
	exit 1
fi

# Statements end with a semicolon and an empty line. Single-user mode says what it refused and goes on.
statements() {
	said=$(postgres --single -j -D "$1" -c config_file="$1/postgresql.conf" -c log_min_error_statement=panic "$2" 2>&1 >/dev/null) || { echo "$said" >&2; exit 1; }
	case $said in *ERROR:* | *FATAL:*) echo "$said" >&2; exit 1 ;; esac
}

password_of() {
	tr -d '\n' <"$secrets/$1-password" | sed "s/'/''/g"
}

if [ "$RESTORE" = true ]; then
	[ -s "$data/PG_VERSION" ] || echo "waiting for a base backup: docs/operating/backup-and-restore.md" >&2
	trap 'exit 0' INT TERM
	until [ -s "$data/PG_VERSION" ]; do sleep 1; done
	trap - INT TERM
fi

if [ ! -s "$data/PG_VERSION" ]; then
	rm -rf "$data.new"
	initdb --pgdata="$data.new" --username=icn_administrator --encoding=UTF8 --locale=C --auth=scram-sha-256 \
		--pwfile="$secrets/administrator-password" --data-checksums --no-instructions >/dev/null
	statements "$data.new" postgres <<-SQL
		CREATE DATABASE icn TEMPLATE template0;

		REVOKE ALL ON DATABASE icn FROM PUBLIC;

		REVOKE ALL ON DATABASE postgres FROM PUBLIC;

		REVOKE ALL ON DATABASE template1 FROM PUBLIC;

	SQL
	mv "$data.new" "$data"
fi

roles() {
	echo "ALTER ROLE icn_administrator PASSWORD '$(password_of administrator)';"
	echo
	echo "REVOKE ALL ON SCHEMA public FROM PUBLIC;"
	echo
	echo "CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public;"
	echo
	for role in $ROLES; do
		cat <<-SQL
			DO \$\$ BEGIN
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$role') THEN
			CREATE ROLE $role LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
			END IF;
			END \$\$;

			ALTER ROLE $role PASSWORD '$(password_of "$role")';

			ALTER ROLE $role SET search_path = $role;

			GRANT CONNECT ON DATABASE icn TO $role;

			CREATE SCHEMA IF NOT EXISTS $role AUTHORIZATION $role;

		SQL
	done
}

roles | statements "$data" icn

set -- postgres -D "$data" -c config_file=/etc/postgresql/postgresql.conf -c hba_file=/etc/postgresql/pg_hba.conf "$@"
[ -n "${FOLLOWED:-}" ] || exec "$@"

. /etc/postgresql/supervise.sh

administrator=$(cat "$secrets/administrator-password")
changed() {
	given=$(cat "$secrets/administrator-password")
	if ! { echo "SET log_min_error_statement = panic; SET client_min_messages = warning;"; roles; } |
		PGPASSWORD=$administrator psql --no-psqlrc --quiet --single-transaction --set ON_ERROR_STOP=1 \
			--host=/run/postgres --username=icn_administrator icn >/dev/null; then
		echo "passwords and certificates were replaced, but the roles could not be given the new passwords: trying again" >&2
		return 1
	fi
	administrator=$given
	kill -HUP "$server"
	echo "passwords and certificates were replaced: the roles have the new passwords, Postgres reads the certificates" >&2
}

supervise "$@"
