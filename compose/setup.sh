#!/bin/sh
# Applies the cluster file, gives the superuser a password, waits for the proxies and runs the tour. Can be run again.
set -eu
here=$(dirname "$0")
export PGPASSWORD="$DATAMAN_PASSWORD"
at() { echo "host=$1 port=${2:-5433} user=dataman dbname=shop connect_timeout=5"; }

until dataman ctl --metadata "$METADATA" apply "$here/cluster.toml"; do sleep 1; done

# Who comes from another host needs a password, and the first one can be set from a proxy's own host only: so from here.
own=${SETUP_PORT:-5439}
dataman proxy --metadata "$METADATA" --listen "127.0.0.1:$own" &
proxy=$!
until psql "$(at 127.0.0.1 "$own")" -qc "ALTER ROLE dataman PASSWORD '$DATAMAN_PASSWORD'"; do sleep 1; done
kill "$proxy"
wait "$proxy" || true

# Both datastores answer, through every proxy.
for one in $PROXIES; do
  until psql "$(at "$one")" -v ON_ERROR_STOP=1 -qAt -c 'CREATE TABLE IF NOT EXISTS ready (a int)' \
    -c "CREATE TABLE IF NOT EXISTS ready_too (a int) WITH (datastore = 'archive')" \
    -c "CREATE TABLE IF NOT EXISTS ready_also (a int) WITH (datastore = 'events')" \
    -c 'SELECT FROM ready, ready_too, ready_also'; do sleep 1; done
done
first=${PROXIES%% *}
last=${PROXIES##* }
psql "$(at "$first")" -v ON_ERROR_STOP=1 -f "$here/tour.sql"
# The other proxy knows the same tables, and may read the replica.
psql "$(at "$last") options=-cdataman.read=any" -v ON_ERROR_STOP=1 -Atc "SELECT count(*) || ' orders' FROM orders"
echo "the tour is over"
