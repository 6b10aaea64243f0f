#!/usr/bin/env bash
# The whole life of a version by curl alone: created, refused until it is configured, started, published, called, watched,
# replaced by a second version, rolled back, stopped, deleted.
#
#   KRE_TOKEN=… docs/guides/life-by-curl.sh FIRST.krt SECOND.krt
#
# The two packages hold versions of one service (the tests use a greeting), which declares the configuration variable GREETING
# and answers `{"name": "Ada"}` at RPC. `kre up` prints the address and leaves the token in its data directory.
set -euo pipefail

first=$1 second=$2
api=${KRE_URL:-http://127.0.0.1:7080}/v1
runtime=${KRE_RUNTIME:-guide}
rpc=${RPC:-greeting.Greeting/Greet}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# call METHOD PATH [curl's arguments]: prints the answer; the HTTP code is in $code.
call() {
  local method=$1 path=$2
  shift 2
  code=$(curl -sS -o "$answer" -w '%{http_code}' -X "$method" -H "Authorization: Bearer $KRE_TOKEN" "$@" "$api$path")
  echo "$code $method $path" >&2
}

# expect CODE [TEXT...]: the last answer had that code and holds these texts.
expect() {
  local want=$1 text
  shift
  if [ "$code" != "$want" ]; then echo "want $want, got $code:" && cat "$answer" && exit 1; fi
  for text in "$@"; do
    grep -qF -- "$text" "$answer" || { echo "the answer lacks $text:" && cat "$answer" && exit 1; }
  done
}

# field NAME: a text field of the last answer.
field() { grep -oE "\"$1\": ?\"[^\"]*\"" "$answer" | head -1 | sed -E 's/^[^:]*: ?"(.*)"$/\1/'; }

# until_state VERSION STATE: waits for at most two minutes.
until_state() {
  local deadline=$((SECONDS + 120))
  while :; do
    call GET "/runtimes/$runtime/versions/$1" 2>/dev/null
    expect 200
    [ "$(field state)" = "$2" ] && echo "    $1 is $2" >&2 && return
    [ $SECONDS -lt $deadline ] || { echo "$1 does not become $2:" && cat "$answer" && exit 1; }
    sleep 0.2
  done
}

step() { printf '\n%s\n' "$*" >&2; }

step "A runtime holds versions."
call POST "/runtimes?runtimeId=$runtime" -d '{"description": "A guided tour"}'
expect 200 "runtimes/$runtime"
call POST "/runtimes?runtimeId=$runtime" -d '{}'
expect 409 ERROR_REASON_RUNTIME_EXISTS

step "A package becomes a version."
until_ready() {
  local deadline=$((SECONDS + 60))
  until call GET "/runtimes/$runtime" 2>/dev/null && [ "$(field state)" = READY ]; do
    [ $SECONDS -lt $deadline ] || { cat "$answer" && exit 1; }
    sleep 0.1
  done
}
until_ready
call POST "/runtimes/$runtime/versions?comment=first+try" -T "$first"
expect 200 STOPPED GREETING
one=$(field name) one=${one##*/}
call POST "/runtimes/$runtime/versions" -T "$first"
expect 409 ERROR_REASON_VERSION_EXISTS
call POST "/runtimes/$runtime/versions" -d 'this is not a package'
expect 400 ERROR_REASON_INVALID_PACKAGE

step "It cannot be started until it is configured."
call POST "/runtimes/$runtime/versions/$one:start" -d '{}'
expect 400 ERROR_REASON_CONFIG_MISSING GREETING
call PATCH "/runtimes/$runtime/versions/$one/config" -d '{"variables": {"GREETNG": "Hello"}}'
expect 400 GREETNG GREETING
call PATCH "/runtimes/$runtime/versions/$one/config" -d '{"variables": {"GREETING": "Hello"}}'
expect 200 GREETING
if grep -q Hello "$answer"; then echo "a value was told" && exit 1; fi

step "Start it: everything runs, reachable inside only."
call POST "/runtimes/$runtime/versions/$one:publish" -d '{}'
expect 400 ERROR_REASON_WRONG_STATE STOPPED
call POST "/runtimes/$runtime/versions/$one:start" -d '{"comment": "let us see"}'
expect 200
until_state "$one" STARTED
call POST "/runtimes/$runtime/versions/$one:call" -d "{\"rpc\": \"$rpc\", \"request\": {\"name\": \"Ada\"}}"
expect 200 Ada

step "Publish it: the runtime's stable address leads to it."
call POST "/runtimes/$runtime/versions/$one:publish" -d '{}'
expect 200
until_state "$one" PUBLISHED
call GET "/runtimes/$runtime"
expect 200 "versions/$one"
address=$(field httpAddress)
says() { # TEXT: what the stable address answers; waits, because moving takes a moment
  local deadline=$((SECONDS + 60)) said
  while :; do
    said=$(curl -sS -H 'Content-Type: application/json' -d '{"name": "Ada"}' "$address/$rpc")
    case $said in *"$1"*) echo "    $said" >&2 && return ;; esac
    [ $SECONDS -lt $deadline ] || { echo "want $1, got $said" && exit 1; }
    sleep 0.1
  done
}
says "Hello Ada"

step "Look at its nodes and logs."
call GET "/runtimes/$runtime/versions/$one/nodes"
expect 200 READY entrypoint
call GET "/runtimes/$runtime/versions/$one/logs?pageSize=10"
expect 200 entries
call GET "/runtimes/$runtime/versions/$one/documentation"
[ "$code" = 200 ] || expect 404 ERROR_REASON_NO_DOCUMENTATION

step "A second version takes the configuration over, and is published over the first."
call POST "/runtimes/$runtime/versions" -T "$second"
expect 200
two=$(field name) two=${two##*/}
call GET "/runtimes/$runtime/versions/$two/config"
expect 200 "versions/$one"
call POST "/runtimes/$runtime/versions/$two:start" -d '{}'
expect 200
until_state "$two" STARTED
call POST "/runtimes/$runtime/versions/$two:publish" -d '{}'
expect 200
until_state "$two" PUBLISHED
until_state "$one" STARTED
says "${SECOND_SAYS:-Hello again Ada}"

step "Rolling back is publishing the first again."
call POST "/runtimes/$runtime/versions/$one:publish" -d '{"comment": "too chatty"}'
expect 200
until_state "$one" PUBLISHED
says "Hello Ada"

step "Who did what?"
call GET "/runtimes/$runtime/activities?pageSize=3"
expect 200 "too chatty" version.publish

step "A published version is not stopped by mistake."
call POST "/runtimes/$runtime/versions/$one:stop" -d '{}'
expect 400 ERROR_REASON_WRONG_STATE
call POST "/runtimes/$runtime/versions/$one:unpublish" -d '{}'
expect 200
for version in "$one" "$two"; do
  call POST "/runtimes/$runtime/versions/$version:stop" -d '{}'
  expect 200
done
until_state "$one" STOPPED
until_state "$two" STOPPED

step "Remove everything."
call DELETE "/runtimes/$runtime/versions/$two"
expect 200
call GET "/runtimes/$runtime/versions?filter=name%20%3D%20%22$one%22"
expect 200 "versions/$one"
call DELETE "/runtimes/$runtime?confirm=another"
expect 400 confirm
call DELETE "/runtimes/$runtime?confirm=$runtime"
expect 200
deadline=$((SECONDS + 120))
until call GET "/runtimes/$runtime" 2>/dev/null && [ "$code" = 404 ]; do
  [ $SECONDS -lt $deadline ] || { cat "$answer" && exit 1; }
  sleep 0.2
done
step "That was its life."
