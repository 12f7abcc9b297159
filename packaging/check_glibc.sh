#!/usr/bin/env bash
# Checks that files load on glibc 2.28 and later: packaging/check_glibc.sh FILE...
#
# Prints a row for each file: its size, and the newest version of glibc that it asks for. Fails where a file asks for a
# newer glibc or libgcc_s, for a library that not every system has, or for a function that no version or no file backs.
set -euo pipefail
export LC_ALL=C

newest_glibc=2.28
# In libgcc_s.so.1 of the distributions with that glibc.
newest_gcc=7.0.0
libraries=" libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 ld-linux-x86-64.so.2 "

[ $# -gt 0 ] || { echo "usage: packaging/check_glibc.sh FILE..." >&2; exit 2; }

# later A B: whether version A comes after version B. A name that is no number comes after all numbers.
later() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]; }

# needed PREFIX FILE: the versions PREFIX_* that the file asks for, oldest first, without the prefix.
needed() {
    readelf -VW "$2" | sed -n '/^Version needs/,/^$/ s/.* Name: '"$1"'_\([^ ]*\) .*/\1/p' | sort -Vu
}

# undefined FILE: the binding and the name of each symbol that other files have to define.
undefined() { readelf --dyn-syms -W "$1" | awk '$7 == "UND" && $8 != "" { print $5, $8 }'; }

failed=0
complain() { printf 'check_glibc: %s %s\n' "$file" "$1" >&2; failed=1; }

printf '%10s  %-12s %s\n' bytes "newest GLIBC" file
for file; do
    if ! readelf -h "$file" >/dev/null; then complain "cannot be read as ELF"; continue; fi
    newest=$(needed GLIBC "$file" | tail -n 1)
    printf '%10d  %-12s %s\n' "$(stat -Lc %s "$file")" "${newest:-none}" "$file"

    for version in $(needed GLIBC "$file"); do
        later "$version" "$newest_glibc" || continue
        functions=$(undefined "$file" | sed -n "s/^.* \(.*\)@GLIBC_$version$/\1/p" | paste -sd ' ')
        complain "needs GLIBC_$version, for $functions"
    done
    for version in $(needed GCC "$file"); do
        later "$version" "$newest_gcc" && complain "needs GCC_$version of libgcc_s"
    done
    for library in $(readelf -dW "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        [[ $libraries == *" $library "* ]] || complain "needs the library $library"
    done
    # The driver's functions are looked up at run time, also by name.
    driver=$(undefined "$file" | awk '$2 ~ /^cu[A-Z]/ { print $2 }' | paste -sd ' ')
    [ -z "$driver" ] || complain "has undefined symbols of the CUDA driver: $driver"
    # What glibc 2.28 does not have keeps no version. The loader does without it only where it is weak.
    loose=$(undefined "$file" | awk '$1 != "WEAK" && $2 !~ /@/ { print $2 }' | paste -sd ' ')
    [ -z "$loose" ] || complain "has undefined symbols that no library of glibc $newest_glibc defines: $loose"
done
exit "$failed"
