#!/usr/bin/env bash
# Runs docker-compose.yml for real: builds the images, brings the engine up, publishes the price estimator through it, calls
# it, takes everything down again and looks that nothing is left. Called by `make compose-test`, which builds the programs
# ($KRE_BIN), the package ($PACKAGE), Compose ($COMPOSE) and NATS ($NATS_SERVER) before.
#
# Without a Docker daemon it starts one of its own, with its own socket and data, which needs root and Debian's docker.io
# (it is installed where it is missing).
# Images that cannot be pulled are replaced: see docker/stand-ins.yml.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/compose
mkdir -p "$work"
project=kre-test
export KRE_HTTP_PORT=${KRE_HTTP_PORT:-17080} KRE_GRPC_PORT=${KRE_GRPC_PORT:-17081}
say() { printf '%-10s %s\n' "$1" "$2"; }
daemon=
cleanup() {
  local code=$?
  if [ -n "${up:-}" ]; then
    [ $code = 0 ] || compose logs --tail 40 || true
    compose down -v --remove-orphans --timeout 60 >/dev/null 2>&1 || true
  fi
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null || true
  fi
  exit $code
}
trap cleanup EXIT

if ! docker info >/dev/null 2>&1; then
  if ! { command -v dockerd && command -v mmdebstrap; } >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "compose-test needs Docker; on Debian: apt-get install docker.io mmdebstrap" && exit 1; }
    say docker "is not here: apt-get install docker.io mmdebstrap"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends docker.io mmdebstrap iptables; } >"$work/apt.log" 2>&1 ||
      { tail -5 "$work/apt.log" && exit 1; }
  fi
  export DOCKER_HOST=unix://$work/docker.sock
  dockerd -H "$DOCKER_HOST" --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" >"$work/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 300); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
  docker info >/dev/null || { tail -20 "$work/dockerd.log" && exit 1; }
  say docker "a daemon of our own"
fi

python=python:3.11-slim-bookworm
if ! docker image inspect $python >/dev/null 2>&1 && ! docker pull -q $python >/dev/null 2>&1; then
  python=kre/python:bookworm
  if ! docker image inspect $python >/dev/null 2>&1; then
    say python "cannot be pulled: made from Debian's packages"
    mmdebstrap --quiet --variant=essential --include=python3,python3-venv,libstdc++6,ca-certificates bookworm "$work/root.tar"
    docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$work/root.tar" $python >/dev/null
    rm "$work/root.tar"
  fi
fi
cp "$NATS_SERVER" "$work/nats-server"
for target in kre admin-api k8s-manager stand-ins; do
  DOCKER_BUILDKIT=0 docker build -q -f docker/Dockerfile --target $target --build-arg PYTHON=$python -t kre/$target . >/dev/null 2>"$work/build.log" ||
    { cat "$work/build.log" && exit 1; }
done
say images "kre, admin-api, k8s-manager"

files=(-f docker-compose.yml)
for image in mongo:8.0 nats:2.15-alpine minio/minio:RELEASE.2025-09-07T16-13-09Z; do
  docker image inspect $image >/dev/null 2>&1 || docker pull -q $image >/dev/null 2>&1 || stand_ins=yes
done
if [ -n "${stand_ins:-}" ]; then
  files+=(-f docker/stand-ins.yml)
  say stores "stand-ins: their images cannot be pulled"
else
  say stores "MongoDB, NATS, MinIO"
fi
compose() { "$COMPOSE" -p $project "${files[@]}" "$@"; }

up=yes
compose up -d --wait --wait-timeout 180 >"$work/up.log" 2>&1 || { cat "$work/up.log" && exit 1; }
say up "$(compose ps --format '{{.Service}}' | sort | tr '\n' ' ')"

compose cp init:/secrets/admin.token "$work/admin.token" >/dev/null 2>&1
export KRE_CONFIG_DIR=$work/cli KRE_RUNTIME=prices
rm -rf "$KRE_CONFIG_DIR"
kre=$KRE_BIN/kre
"$kre" login "127.0.0.1:$KRE_GRPC_PORT" --context compose <"$work/admin.token"
rm "$work/admin.token"
"$kre" runtime create prices
version=$("$kre" version create "$PACKAGE" -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["name"].split("/")[-1])')
"$kre" version config set "$version" CURRENCY=EUR
"$kre" version start "$version"
"$kre" version publish "$version"
# One of the ports that compose publishes: 8080, unless that one was taken.
address=$("$kre" runtime get prices -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["httpAddress"])')
answer=$(curl -sS --fail-with-body --retry 20 --retry-delay 1 --retry-all-errors -H 'Content-Type: application/json' -d '{"carat":1}' "$address/price.Price/Estimate")
case $answer in *price*EUR*) say call "{\"carat\":1} → $answer" ;; *) echo "a wrong answer: $answer" && exit 1 ;; esac

compose restart k8s-manager admin-api >/dev/null 2>&1
answer=$(curl -sS --fail-with-body --retry 60 --retry-delay 1 --retry-all-errors -H 'Content-Type: application/json' -d '{"carat":1}' "$address/price.Price/Estimate")
case $answer in *price*EUR*) say restarted "$answer" ;; *) echo "a wrong answer after a restart: $answer" && exit 1 ;; esac

compose down -v --timeout 60 >/dev/null 2>&1
up=
left=$(docker ps -aq --filter label=com.docker.compose.project=$project
  docker volume ls -q --filter label=com.docker.compose.project=$project
  docker network ls -q --filter label=com.docker.compose.project=$project)
[ -z "$left" ] || { echo "left behind: $left" && exit 1; }
say down "nothing is left"
