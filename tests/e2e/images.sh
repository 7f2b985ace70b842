#!/usr/bin/env bash
# Builds the images of this checkout and brings them to the nodes of the cluster under test; an unchanged tree builds nothing.
#   CLUSTER=path   a program whose `image TAG ARGS…` builds and loads and whose `base-image` prints a base (no docker needed)
#   KIND=name      loads into the nodes of this kind cluster
#   neither        builds only, with docker or else buildah
#   TAG=dev  BASE_IMAGE=python:3.11-slim  REPOSITORY=localhost
#   NODE_IMAGE=image with npm: the CLI of Claude Code comes from there, instead of the tests' stand-in
# Operator and runner of an earlier commit, which tests/e2e/earlier names, come by the tag TAG-earlier, to upgrade from.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${TAG:-dev}
repository=${REPOSITORY:-localhost}
stamps=${XDG_CACHE_HOME:-$HOME/.cache}/agentjobs-images
mkdir -p "$stamps"
# Two checkouts that build the same tag at the same time would stamp each other's images.
exec 9>"$stamps/lock"
flock 9

sources=(.dockerignore pyproject.toml constraints.txt README.md LICENSE operator runner_image examples docs/how-to/build-your-own-image.md tests/claudecli.py tests/e2e/agents tests/e2e/images)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

base=${BASE_IMAGE:-}
[ -n "$base" ] || base=$([ -z "${CLUSTER:-}" ] && echo python:3.11-slim || "$CLUSTER" base-image | tail -n 1)
tree=$( (echo "$base"; find "${sources[@]}" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-16)

present() { # NAME: whether the nodes have the image of this very tree
  [ "$(cat "$stamps/${KIND:+kind-$KIND-}$1-$tag" 2>/dev/null)" = "$repository $tree" ] || return 1
  [ -z "${CLUSTER:-}" ] || "$CLUSTER" in ctr images ls -q "name==$repository/$1:$tag" 2>/dev/null | grep -q .
}

build() { # NAME, the builder's arguments; called where errexit does not hold
  local name=$1 image=$repository/$1:$tag
  shift
  if [ -n "${CLUSTER:-}" ]; then
    "$CLUSTER" image "$image" "$@" || return
  else
    local tool=docker
    command -v docker >/dev/null || tool=buildah
    command -v "$tool" >/dev/null || { echo "docker or buildah is needed to build images" >&2; return 3; }
    "$tool" build -q -t "$image" "$@" || return
    [ -z "${KIND:-}" ] || kind load docker-image --name "$KIND" "$image" || return
  fi
  echo "$repository $tree" >"$stamps/${KIND:+kind-$KIND-}$name-$tag"
}

make_image() { # NAME, the builder's arguments: builds if needed, and says so
  local started=$SECONDS
  if present "$1"; then echo "$repository/$1:$tag is there"; return; fi
  if build "$@" >"$logs/$1" 2>&1; then
    echo "$repository/$1:$tag built in $((SECONDS - started)) s"
  else
    echo "$repository/$1:$tag cannot be built:" >&2
    tail -n 30 "$logs/$1" >&2
    return 1
  fi
}

make_image agentjobs-operator -f operator/Dockerfile --build-arg "BASE_IMAGE=$base" . &
operator=$!
make_image agentjobs-runner -f runner_image/Dockerfile --build-arg "BASE_IMAGE=$base" .
make_image agentjobs-postgres -f tests/e2e/images/postgres.Dockerfile --build-arg "BASE_IMAGE=$base" tests/e2e/images

if [ -n "${NODE_IMAGE:-}" ]; then
  tree="$tree $NODE_IMAGE" make_image agentjobs-claude -f runner_image/Dockerfile --target claude-code --build-arg "BASE_IMAGE=$base" --build-arg "NODE_IMAGE=$NODE_IMAGE" .
else
  make_image agentjobs-claude -f tests/e2e/images/claude.Dockerfile --build-arg "RUNNER=$repository/agentjobs-runner:$tag" tests
fi

# Users' images, by the very Dockerfiles of the documentation, one without and one with packages.
user_image() { # NAME, which Dockerfile of the page
  local context=$logs/context-$2
  mkdir -p "$context/agents/examples"
  cp -r examples/agents "$context/agents/examples/"
  cp tests/e2e/agents/*.py "$context/agents/"
  echo 'humanize>=4' >"$context/requirements.txt"
  awk -v block="$2" '/^```dockerfile/ { seen++; inside = seen == block; next } /^```/ { inside = 0 } inside' \
    docs/how-to/build-your-own-image.md >"$context/Dockerfile"
  make_image "$1" -f "$context/Dockerfile" --build-arg "RUNNER=$repository/agentjobs-runner:$tag" --build-arg "BASE_IMAGE=$base" "$context"
}
user_image agentjobs-examples 1
user_image agentjobs-packages 2
wait "$operator"

# The version before: its images are of the commit alone, whatever changes in this tree.
earlier=$(grep -v '^#' tests/e2e/earlier)
if ! git cat-file -e "$earlier^{commit}" 2>/dev/null; then
  echo "no images to upgrade from: commit $earlier is not in the history of this checkout (git fetch --unshallow brings it)"
  exit
fi
tree=$(echo "$base $earlier" | sha256sum | cut -c1-16) tag=$tag-earlier
mkdir "$logs/earlier"
git archive "$earlier" | tar x -C "$logs/earlier"
for name in operator runner; do
  dockerfile=$logs/earlier/$([ $name = operator ] && echo operator || echo runner_image)/Dockerfile
  make_image "agentjobs-$name" -f "$dockerfile" --build-arg "BASE_IMAGE=$base" --build-arg VERSION=earlier "$logs/earlier"
done
