#!/bin/sh
# The gateway's first process in a container: reads the secret that the executor made, unless the environment has one.
set -eu

secret=/run/sandgate/executor-secret
if [ -z "${EXECUTOR_SECRET:-}" ] && [ -r "$secret" ]; then
  EXECUTOR_SECRET=$(cat "$secret")
  export EXECUTOR_SECRET
fi
exec python -m gateway "$@"
