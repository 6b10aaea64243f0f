#!/usr/bin/env bash
# The whole life of a version by a public gRPC client, grpcurl, which learns the services by reflection: see life-by-curl.sh,
# which does the same.
#
#   KRE_TOKEN=… docs/guides/life-by-grpc.sh FIRST.krt SECOND.krt
set -euo pipefail

first=$1 second=$2
api=${KRE_GRPC:-127.0.0.1:7081}
grpcurl=${GRPCURL:-grpcurl}
runtime=runtimes/${KRE_RUNTIME:-guide}
rpc=${RPC:-greeting.Greeting/Greet}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

step() { printf '\n%s\n' "$*" >&2; }
# call METHOD REQUEST: the answer is in $answer; fails as the call does.
call() {
  local service=VersionService
  case $1 in *Runtime | *Runtimes | ListActivities) service=RuntimeService ;; esac
  "$grpcurl" -plaintext -H "authorization: Bearer $KRE_TOKEN" -d "$2" "$api" "kre.admin.v1.$service/$1" >"$answer" 2>&1
}
ok() {
  if ! call "$@"; then echo "$1 failed:" && cat "$answer" && exit 1; fi
  echo "    $1" >&2
}
# refused TEXT METHOD REQUEST: the call fails and says so.
refused() {
  local want=$1
  shift
  if call "$@"; then echo "not refused: $*" && exit 1; fi
  holds "$want"
}
holds() { grep -qF -- "$1" "$answer" || { echo "the answer lacks $1:" && cat "$answer" && exit 1; }; }
field() { grep -oE "\"$1\": ?\"[^\"]*\"" "$answer" | head -1 | sed -E 's/^[^:]*: ?"(.*)"$/\1/'; }
# until_field NAME VALUE METHOD REQUEST: waits for at most two minutes.
until_field() {
  local name=$1 value=$2 deadline=$((SECONDS + 120))
  shift 2
  until call "$@" && [ "$(field "$name")" = "$value" ]; do
    [ $SECONDS -lt $deadline ] || { echo "$name does not become $value:" && cat "$answer" && exit 1; }
    sleep 0.2
  done
  echo "    $name is $value" >&2
}
upload() { # FILE
  {
    printf '{"parent": "%s", "comment": "by gRPC"}\n' "$runtime"
    # Whole lines of base64 that each decode alone.
    base64 -w 65536 "$1" | sed 's/.*/{"chunk": "&"}/'
  } | "$grpcurl" -plaintext -H "authorization: Bearer $KRE_TOKEN" -d @ "$api" kre.admin.v1.VersionService/UploadVersion >"$answer" 2>&1
}
state() { until_field state "$2" GetVersion "{\"name\": \"$1\"}"; }

step "A runtime holds versions."
ok CreateRuntime "{\"runtimeId\": \"${runtime#*/}\", \"runtime\": {\"description\": \"A guided tour\"}}"
refused ERROR_REASON_RUNTIME_EXISTS CreateRuntime "{\"runtimeId\": \"${runtime#*/}\", \"runtime\": {}}"
until_field state READY GetRuntime "{\"name\": \"$runtime\"}"

step "A package becomes a version."
upload "$first" || { cat "$answer" && exit 1; }
one=$(field name)
if upload "$first"; then echo "a name was taken twice" && exit 1; fi
holds ERROR_REASON_VERSION_EXISTS

step "It cannot be started until it is configured."
refused GREETING StartVersion "{\"name\": \"$one\"}"
ok UpdateConfig "{\"name\": \"$one/config\", \"variables\": {\"GREETING\": \"Hello\"}}"

step "Start it, publish it, call it."
refused STOPPED PublishVersion "{\"name\": \"$one\"}"
ok StartVersion "{\"name\": \"$one\", \"comment\": \"let us see\"}"
state "$one" STARTED
ok PublishVersion "{\"name\": \"$one\"}"
state "$one" PUBLISHED
ok GetRuntime "{\"name\": \"$runtime\"}"
address=$(field grpcAddress)
"$grpcurl" -plaintext -d '{"name": "Ada"}' "$address" "$rpc" | tee /dev/stderr | grep -qF "Hello Ada"
ok CallVersion "{\"name\": \"$one\", \"rpc\": \"$rpc\", \"request\": {\"name\": \"Ada\"}}"
holds "Hello Ada"

step "Look at it."
ok ListNodes "{\"parent\": \"$one\"}"
holds READY
ok SearchLogs "{\"parent\": \"$one\", \"pageSize\": 10}"

step "A second version is published over the first; then roll back."
upload "$second" || { cat "$answer" && exit 1; }
two=$(field name)
ok StartVersion "{\"name\": \"$two\"}"
state "$two" STARTED
ok PublishVersion "{\"name\": \"$two\"}"
state "$two" PUBLISHED
state "$one" STARTED
ok PublishVersion "{\"name\": \"$one\", \"comment\": \"too chatty\"}"
state "$one" PUBLISHED
ok ListActivities "{\"parent\": \"$runtime\", \"pageSize\": 3}"
holds "too chatty"

step "Stop and remove everything."
refused ERROR_REASON_WRONG_STATE StopVersion "{\"name\": \"$one\"}"
ok UnpublishVersion "{\"name\": \"$one\"}"
ok StopVersion "{\"name\": \"$one\"}"
ok StopVersion "{\"name\": \"$two\"}"
state "$one" STOPPED
state "$two" STOPPED
ok DeleteVersion "{\"name\": \"$two\"}"
refused confirm DeleteRuntime "{\"name\": \"$runtime\", \"confirm\": \"another\"}"
ok DeleteRuntime "{\"name\": \"$runtime\", \"confirm\": \"${runtime#*/}\"}"
deadline=$((SECONDS + 120))
while call GetRuntime "{\"name\": \"$runtime\"}"; do
  [ $SECONDS -lt $deadline ] || { cat "$answer" && exit 1; }
  sleep 0.2
done
step "That was its life."
