# What the scripts say and how they fail: sourced, never run.
# Progress goes to stderr, so that a script's own result can be piped.

if [ -t 2 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else bold='' green='' red='' dim='' plain=''; fi

# step TEXT: what is being done now.
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# done_with TEXT: what has been reached.
done_with() { printf '%s ok%s %s\n' "$green" "$plain" "$*" >&2; }

# fail TEXT: one clear line that says what to do, and the end.
fail() { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }

# quietly TEXT COMMAND...: run COMMAND with its seconds counted on one line; its output only when it fails.
quietly() {
  local text=$1 log started status=0 shown=0
  shift
  log=$(mktemp)
  started=$SECONDS
  "$@" >"$log" 2>&1 &
  local child=$!
  trap 'kill "$child" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
  while kill -0 "$child" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r%s==>%s %s %s%ss%s' "$bold" "$plain" "$text" "$dim" "$((SECONDS - started))" "$plain" >&2
    elif [ $((SECONDS - started)) -ge $((shown + 30)) ]; then
      shown=$((SECONDS - started))
      printf '    %s: %ss so far\n' "$text" "$shown" >&2
    fi
    sleep 0.2
  done
  wait "$child" || status=$?
  trap - INT TERM
  [ -t 2 ] && printf '\r\e[K' >&2
  if [ "$status" -ne 0 ]; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    printf '%sfailed%s %s (after %ss, exit status %s)\n' "$red" "$plain" "$text" "$((SECONDS - started))" "$status" >&2
    return "$status"
  fi
  rm -f "$log"
  done_with "$text ($((SECONDS - started))s)"
}
