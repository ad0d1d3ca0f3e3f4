#!/bin/sh
# Installs the real servers that the tests start: RabbitMQ from the distribution's packages, Apache Kafka's jars by
# Maven, the Workflows engine by npm; faketime, which lets a clock jump; Prometheus; Chromium, and axe-core by npm, for
# the web page; and what builds and runs the image and looks at the chart. Does nothing where they are already there.
# Usage: install.sh PYTHON
set -eu

packages=""
need() { command -v "$1" >/dev/null 2>&1 || packages="$packages $2"; }
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || packages="$packages rabbitmq-server"
need java default-jre-headless
need mvn maven
need npm npm
need faketime faketime
need promtool prometheus
need chromium chromium
need buildah buildah
need podman podman
need runc runc
need mmdebstrap mmdebstrap
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages="$packages debian-archive-keyring"

if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "These are needed and cannot be installed here (no apt-get):$packages" >&2
        exit 1
    fi
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    # shellcheck disable=SC2086  # a list of package names
    { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $packages; } >/dev/null
fi

cd "$(dirname "$0")/../.."
exec "$1" -m tests.services.fetch
