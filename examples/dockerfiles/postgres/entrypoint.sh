#!/bin/bash
# Makes the cluster at $PGDATA unless it is there, then becomes the command.
set -euo pipefail

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --auth-local=trust --auth-host=scram-sha-256 --no-sync > /dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    shopt -s nullglob
    for file in /initdb.d/*.sql; do
        echo "entrypoint: ${file##*/}"
        postgres --single -j -c exit_on_error=true postgres < "$file" > /dev/null
    done
fi
exec "$@"
