# The virtual environment that checks and tests run in: sourced after terminal.sh, in the root of the repository.

# suits PYTHON: whether that is 3.11 or newer and can make virtual environments.
suits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3.14 python3 python; do
    if [ -n "$candidate" ] && suits "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

install_python() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  quietly "Reading the package lists" apt-get update -q
  quietly "Installing python3-venv" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends python3-venv
}

# prepare_browser: a Chromium for the tests of the page; where there is none and none is required they are skipped.
prepare_browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    quietly "Reading the package lists" apt-get update -q &&
      quietly "Installing chromium" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core && return
  fi
  [ -z "${SANDGATE_REQUIRE_BROWSER:-}" ] || fail "SANDGATE_REQUIRE_BROWSER is set and there is no Chromium: install it"
  step "Going on without a browser: the tests of the page are skipped"
}

# prepare_environment: .venv with the project and its development extras, made anew when pyproject.toml or Python changes.
prepare_environment() {
  local python stamp
  python=$(find_python) || { install_python && python=$(find_python); } ||
    fail "no Python 3.11 or newer with venv was found: install it (Debian: apt install python3-venv), or name one: PYTHON=/path/to/python3 $0"
  stamp=$({ "$python" -c 'import sys; print(sys.version, sys.executable)'; pwd; cat pyproject.toml; } | cksum)
  if [ "$(cat .venv/installed 2>/dev/null)" != "$stamp" ]; then
    rm -rf .venv
    quietly "Making .venv with $("$python" --version)" "$python" -m venv .venv || fail "no virtual environment in .venv: see above"
    quietly "Installing the project and its development extras" .venv/bin/python -m pip install -q -e '.[dev]' ||
      fail "the packages could not be installed: is there a network? Run this again, it starts afresh"
    echo "$stamp" >.venv/installed
  fi
  PATH="$PWD/.venv/bin:$PATH"
  export PATH
}
