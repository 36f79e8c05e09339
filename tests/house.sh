#!/bin/sh
# The rules of the house that a machine can check: who may include whom, no two files of one name, no room too large.
# Prints every violation; exit status 1 if there is one.
cd "$(dirname "$0")/.." || exit 1
status=0
violation() { echo "house: $1"; status=1; }

# only FOLDER may include HEADER: only 'PATTERN OF HEADER' 'FOLDER REGEX'
only() {
  found=$(grep -rlE "#include [<\"]$1" include kernels host datasets bench tests --include='*.[ch]' | grep -vE "$2")
  [ -z "$found" ] || violation "$1 is included outside $2: $found"
}
only 'hdf5\.h' '^host/io/'
only 'CL/' '^host/engine/'
only 'sqlite3\.h' '^host/cases/'
only 'microhttpd\.h' '^host/web/'
only 'mpi\.h' '^host/scale/'
only 'jansson\.h' '^(host/(json_text\.[ch]$|(cases|check|night|web|cli)/)|bench/)'
only 'cyaml/' '^host/(check|night)/'
only 'yaml\.h' '^host/(check|night)/'
only 'sodium\.h' '^(host/(cases|web)|datasets/synth)/'
only 'Random123/' '^(host/(fit|engine)|datasets/synth|tests)/'

# Kernels are pure: no allocation, no input or output, no threads.
found=$(grep -nE '\b(malloc|calloc|realloc|free|printf|fopen)\(|#include <(stdio|stdlib|pthread|hdf5)' kernels/*.[ch])
[ -z "$found" ] || violation "kernels/ allocates or does I/O: $found"

# Downwards only: a folder may include headers of its own and of the folders before it.
may_include() {
  folder=$1
  shift
  for header in $(grep -rhoE '#include "[a-z_0-9]+\.h"' "$folder" --include='*.[ch]' | sed 's/.*"\(.*\)"/\1/' | sort -u); do
    place=$(find include kernels host datasets bench -name "$header" -exec dirname {} \;)
    case " $folder $* build " in
      *" ${place:-build} "*) ;;
      *) violation "$folder includes $header of $place" ;;
    esac
  done
}
may_include kernels
may_include host/io host kernels
may_include host/fit host kernels host/io
may_include host/engine host kernels host/io host/fit
may_include host/run host kernels host/io host/fit host/engine
may_include host/cases host kernels host/io host/fit host/engine host/run
may_include host/check host kernels host/io host/fit host/run host/cases
may_include host/night host host/io host/check
may_include host/web host host/io host/cases
may_include datasets/synth host host/io host/run
may_include host/cli # and include/avvik

# The end-to-end benchmark uses what users of the library have.
found=$(grep -oE '#include "[a-z_0-9/]+\.h"' bench/bench_stream.c | grep -vE '"(avvik/[a-z_]+|bench|bench_batch)\.h"')
[ -z "$found" ] || violation "bench/bench_stream.c looks into the library: $found"

found=$(git ls-files 2>/dev/null | grep -vE '(^|/)(README\.md|CMakeLists\.txt|\.gitignore|__init__\.py)$' | sed 's|.*/||' | sort | uniq -d)
[ -z "$found" ] || violation "two files of one name: $found"
found=$(git ls-files 2>/dev/null | grep -E '(^|/)(utils|common|misc|helpers)\.[ch]$')
[ -z "$found" ] || violation "a file whose name says nothing: $found"
found=$(find include kernels host datasets bench tests -name '*.[ch]' -o -name '*.cl' | xargs wc -l | awk '$2 != "total" && $1 > 600')
[ -z "$found" ] || violation "a file of more than 600 lines: $found"

[ $status -ne 0 ] || echo "house: every rule holds"
exit $status
