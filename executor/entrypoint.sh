#!/bin/sh
# The executor's first process in a container: becomes nobody in particular, in the Docker socket's group,
# and makes the secret that it shares with the gateway, unless the environment has one.
set -eu

# The number of that group differs from machine to machine and can only be seen in here.
if [ "$(id -u)" = 0 ]; then
  group=$(stat -Lc %g /var/run/docker.sock 2>/dev/null || echo 10001)
  exec setpriv --reuid 10001 --regid 10001 --groups "$group" --no-new-privs -- "$0" "$@"
fi

secret=/run/sandgate/executor-secret
if [ -z "${EXECUTOR_SECRET:-}" ] && [ -w "${secret%/*}" ]; then
  if ! [ -s "$secret" ]; then
    draft=$(mktemp "$secret.XXXXXX")
    python -c 'import secrets; print(secrets.token_urlsafe(48))' >"$draft"
    ln "$draft" "$secret" 2>/dev/null || [ -s "$secret" ]  # of two that start at once, the first one's counts
    rm -f "$draft"
  fi
  EXECUTOR_SECRET=$(cat "$secret")
  export EXECUTOR_SECRET
fi
exec python -m executor "$@"
