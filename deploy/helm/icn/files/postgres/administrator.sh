#!/bin/sh
# Runs one of Postgres' own programs as the administrator of this server.
PGPASSWORD=$(cat /run/passwords/administrator-password)
export PGPASSWORD PGHOST=/run/postgres PGUSER=icn_administrator PGDATABASE=icn
exec "$@"
