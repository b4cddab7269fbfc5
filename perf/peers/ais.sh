#!/bin/bash
# One AIS gateway (51080) and one target (51081) in the foreground, for `weir-perf peers --peer`: on the measured disk, one mountpath.
# AIS_NODE is the aisnode binary, AIS_SOURCE the tree that it was built from (its script for local configurations is used).
set -eu
: "${RIG_DISK:?}" "${RIG_RUN:?}" "${AIS_NODE:?the aisnode binary}" "${AIS_SOURCE:?the tree of AIStore}"
make_backend_conf() { echo "{}"; }
make_tracing_conf() { echo '"tracing": {"enabled": false},'; }
configure() { # role, port
  local d=$RIG_DISK/$1
  [ -e "$d/ais.json" ] && return
  mkdir -p "$d/conf" "$d/log" "$d/mp1"
  AIS_CONF_FILE=$d/ais.json AIS_LOCAL_CONF_FILE=$d/local.json AIS_CONF_DIR=$d/conf AIS_LOG_DIR=$d/log
  AIS_PRIMARY_URL=http://127.0.0.1:51080 AIS_DISCOVERY_URL= AIS_SERVER_CRT=x NEXT_TIER=
  HOSTNAME_LIST=127.0.0.1 HOSTNAME_LIST_INTRA_CONTROL=127.0.0.1 HOSTNAME_LIST_INTRA_DATA=127.0.0.1
  PORT=$2 PORT_INTRA_CONTROL=$(($2 + 1000)) PORT_INTRA_DATA=$(($2 + 1100))
  AIS_FS_PATHS="" TEST_FSPATH_COUNT=1 TEST_FSPATH_ROOT=$d/
  set +u; source "$AIS_SOURCE/deploy/dev/local/aisnode_config.sh"; set -u
}
configure proxy 51080
configure target 51081
export AIS_PRIMARY_EP=http://127.0.0.1:51080
node() { # role, ID, further arguments
  local role=$1 d=$RIG_DISK/$1; shift
  AIS_DAEMON_ID=$1 "$AIS_NODE" -config="$d/ais.json" -local_config="$d/local.json" -role="$role" "${@:2}" > "$RIG_RUN/ais-$role.out" 2>&1 &
}
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
trap exit TERM INT
node proxy perfgateway -ntargets=1
node target perftarget
# The bucket of durable PUTs asks for fsync, once the gateway can make it; it is there already after a restart.
for _ in $(seq 120); do curl -fs "http://127.0.0.1:51080/v1/health?prr=true" > /dev/null && break; sleep 0.5; done
bucket=http://127.0.0.1:51080/v1/buckets/perf-durable?provider=ais
curl -fs -X POST "$bucket" -H 'Content-Type: application/json' -d '{"action":"create-bck"}' > /dev/null || true
curl -fs -X PATCH "$bucket" -H 'Content-Type: application/json' \
  -d '{"action":"set-bprops","value":{"features":"'"${AIS_FSYNC_FEATURE:-16}"'"}}' > /dev/null
wait
