#!/bin/sh
# PostgreSQL on the volume at $PGDATA, which is made the first time.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --auth-local=trust --auth-host=scram-sha-256 --pwfile=/run/secrets/password --username=notes > /dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE notes" | postgres --single -j template1 > /dev/null
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
