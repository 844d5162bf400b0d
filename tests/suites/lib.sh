# shellcheck shell=bash
# What every suite's `run` shares: where its sources are unpacked, its Python, and how a test's outcome is written.
# `run prepare` gets the sources; `run test HOST PORT` runs them and appends "OUTCOME<tab>TEST" lines to $RESULT.

SUITES_FOLDER="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# shellcheck source=scripts/lib.sh
. "$SUITES_FOLDER/../../scripts/lib.sh"
SOURCES="$CACHE/suites/sources"
PYTHON="$CACHE/suites/venv/bin/python"
mkdir -p "$SOURCES"

# python_packages REQUIREMENT...: into a venv that all suites share.
# shellcheck disable=SC2120 # none is enough
python_packages() {
  python3 -c 'import ensurepip' 2>/dev/null || apt_install python3 python3-venv
  [ -x "$PYTHON" ] || python3 -m venv "$CACHE/suites/venv"
  "$PYTHON" -m pip install --quiet pytest==8.4.2 PyMySQL==1.2.4 cryptography==50.0.2 "$@"
}

# MySQLdb, on Debian's libmariadb.
mysqlclient() {
  pkg-config --exists mysqlclient || apt_install default-libmysqlclient-dev pkg-config build-essential python3-dev
  python_packages --no-binary mysqlclient mysqlclient==2.3.1
}

# sdist PACKAGE VERSION FOLDER: a package's source distribution, where its tests are, unpacked as $SOURCES/FOLDER.
sdist() {
  [ -d "$SOURCES/$3" ] && return
  "$PYTHON" -m pip download --quiet --no-deps --no-binary "$1" --dest "$SOURCES" "$1==$2"
  tar -xzf "$SOURCES/$3.tar.gz" -C "$SOURCES"
}

# sql HOST PORT STATEMENT...
sql() {
  "$PYTHON" - "$@" <<'PYTHON'
import sys, pymysql
cursor = pymysql.connect(host=sys.argv[1], port=int(sys.argv[2]), user="admin", password="admin", autocommit=True).cursor()
for statement in sys.argv[3:]:
    cursor.execute(statement)
PYTHON
}

# pytest ARGUMENT...: writes each test's outcome by the plugin beside this file.
pytest() { PYTHONPATH="$SUITES_FOLDER${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -m pytest -p outcomes -q -rN "$@"; }

# unittests SCRIPT ARGUMENT...: the same of a runner of unittest.
unittests() { "$PYTHON" "$SUITES_FOLDER/unittest_outcomes.py" "$@"; }

# cargo test's own lines, from stdin; -a, as another call's are in the log already.
cargo_outcomes() {
  tee -a /dev/stderr | sed -nE 's/^test (.*) \.\.\. ok$/passed\t\1/p; s/^test (.*) \.\.\. FAILED$/failed\t\1/p
    s/^test (.*) \.\.\. ignored.*/skipped\t\1/p' >>"$RESULT"
}
