#!/bin/sh
# Copies the primary when there is nothing yet, and follows it.
set -eu
PGDATA=${PGDATA:-/var/lib/postgresql/data}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  PGPASSWORD=$POSTGRES_PASSWORD pg_basebackup -h "$PRIMARY_HOST" -p "${PRIMARY_PORT:-5432}" -U postgres -D "$PGDATA" -X stream -c fast
  touch "$PGDATA/standby.signal"
  echo "primary_conninfo = 'host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=postgres password=$POSTGRES_PASSWORD'" >>"$PGDATA/postgresql.auto.conf"
  chmod 700 "$PGDATA"
fi
exec "$@" -D "$PGDATA"
