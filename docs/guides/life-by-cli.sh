#!/usr/bin/env bash
# The whole life of a version by the kre command: see life-by-curl.sh, which does the same.
#
#   docs/guides/life-by-cli.sh FIRST.krt SECOND.krt
#
# `kre up` has written the context that kre uses.
set -euo pipefail

first=$1 second=$2
kre=${KRE:-kre}
export KRE_RUNTIME=${KRE_RUNTIME:-guide}
rpc=${RPC:-greeting.Greeting/Greet}

step() { printf '\n%s\n' "$*" >&2; }
# refused TEXT COMMAND...: the command fails and says so.
refused() {
  local want=$1 said
  shift
  if said=$("$@" 2>&1); then echo "not refused: $*" && exit 1; fi
  case $said in *"$want"*) echo "    $said" ;; *) echo "want $want, got: $said" && exit 1 ;; esac
}
name() { "$kre" inspect "$1" -o json | grep -oE '"version": ?"[^"]*"' | head -1 | sed -E 's/.*"(.*)"/\1/'; }

step "A runtime holds versions."
"$kre" runtime create "$KRE_RUNTIME" --description "A guided tour"
"$kre" runtime list

step "A package becomes a version."
"$kre" version create "$first" --comment "first try"
one=${FIRST_NAME:-$(name "$first")}

step "It cannot be started until it is configured."
refused GREETING "$kre" version start "$one"
refused GREETING "$kre" version config set "$one" GREETNG=Hello
"$kre" version config set "$one" GREETING=Hello
"$kre" version config list "$one"

step "Start it, publish it, call it."
refused STOPPED "$kre" version publish "$one"
"$kre" version start "$one" --comment "let us see"
"$kre" version publish "$one"
"$kre" version call "$one" "$rpc" '{"name": "Ada"}' | grep -F "Hello Ada"

step "Look at it."
"$kre" status --once
"$kre" version nodes "$one"
"$kre" logs "$one"

step "A second version takes the configuration over, and is published over the first; then roll back."
"$kre" version create "$second"
two=${SECOND_NAME:-$(name "$second")}
"$kre" version start "$two"
"$kre" version publish "$two"
"$kre" version rollback --comment "too chatty"
"$kre" version get "$one" -o json | grep -F PUBLISHED
"$kre" runtime activity | grep -F "too chatty"

step "A published version is not stopped by mistake."
refused unpublish "$kre" version stop "$one"
"$kre" version unpublish "$one"
"$kre" version stop "$one"
"$kre" version stop "$two"

step "Remove everything."
"$kre" version delete "$two"
refused confirm "$kre" runtime delete "$KRE_RUNTIME" --confirm another
"$kre" runtime delete "$KRE_RUNTIME" --confirm "$KRE_RUNTIME"
step "That was its life."
