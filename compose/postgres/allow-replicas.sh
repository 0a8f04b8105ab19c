#!/bin/sh
# Lets other hosts of this network copy the server, with the superuser's password.
echo "host replication all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
