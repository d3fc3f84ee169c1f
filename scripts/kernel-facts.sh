# Sourced: what cuobjdump and ptxas say of compiled kernels, one line each, made for awk and join.

# $1 cuobjdump, $2 cubin with its .log beside it. Prints, sorted: kernel registers shared stack constant spill
# (bytes; stack is local memory of every kind, spill what ptxas stored and loaded).
kernel_usage() {
    {
        awk '/Function properties for/ { name = $NF }
             /bytes spill stores/ { print "spill", name, $5 + $9 }' "$2.log"
        "$1" -res-usage "$2" 2>&1
    } | awk '
        $1 == "spill" { spill[$2] = $3; next }
        $1 == "Function" { name = $2; sub(/:$/, "", name); next }
        /REG:/ {
            registers = shared = stack = constant = 0
            for (i = 1; i <= NF; i++) {
                split($i, part, ":")
                if (part[1] == "REG") registers = part[2]
                else if (part[1] == "SHARED") shared = part[2]
                else if (part[1] == "STACK" || part[1] == "LOCAL") stack += part[2]
                else if (part[1] ~ /^CONSTANT/) constant += part[2]
            }
            # Without a line of ptxas there is no proof that nothing spills.
            print name, registers, shared, stack, constant, (name in spill) ? spill[name] : "unknown"
        }' | LC_ALL=C sort
}

# $1 cuobjdump, $2 cubin. Prints: kernel instruction, each once, with its suffixes: `linear_f16 LDGSTS.E.BYPASS.128`.
kernel_instructions() {
    "$1" -sass "$2" | awk '
        $1 == "Function" { name = $3; next }
        match($0, /^[ \t]+\/\*[0-9a-f]+\*\/[ \t]+/) {
            line = substr($0, RLENGTH + 1)
            # A predicate may stand in front: @!P0 LDG.E …
            sub(/^@!?U?P[0-9T]+[ \t]+/, "", line)
            sub(/[ \t;].*/, "", line)
            if (!((name, line) in seen)) { seen[name, line] = 1; print name, line }
        }' | LC_ALL=C sort
}

# $1 cuobjdump, $2 cubin. Prints, sorted: kernel ordinal offset size (bytes, decimal) of every parameter.
kernel_parameters() {
    "$1" -elf "$2" | awk '
        function hex(text,   i, value) {
            value = 0
            text = tolower(substr(text, 3))
            for (i = 1; i <= length(text); i++) value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return value
        }
        /^\.nv\.info\./ { name = substr($1, 10) }
        /Ordinal : / && /Offset / && /Size / {
            for (i = 1; i < NF - 1; i++) {
                if ($i == "Ordinal") ordinal = hex($(i + 2))
                if ($i == "Offset") offset = hex($(i + 2))
                if ($i == "Size") size = hex($(i + 2))
            }
            if (!((name, ordinal) in seen)) { seen[name, ordinal] = 1; print name, ordinal, offset, size }
        }' | LC_ALL=C sort -k1,1 -k2,2n
}

# $1 output of kernel_instructions, $2 table of what is required (kernels/instructions.json: "pattern": ["HMMA", "LDGSTS.128"]). A requirement names an
# instruction and, behind points, suffixes that it must have. Prints what is missing and patterns without a kernel; fails if there is any.
kernel_instructions_missing() {
    awk '
        function meets(instruction, wanted,   parts, have, n, m, i, j, ok) {
            n = split(wanted, parts, "."); m = split(instruction, have, ".")
            if (parts[1] != have[1]) return 0
            for (i = 2; i <= n; i++) {
                ok = 0
                for (j = 2; j <= m; j++) if (parts[i] == have[j]) ok = 1
                if (!ok) return 0
            }
            return 1
        }
        source == "sass" { kernels[$1] = 1; list[$1] = list[$1] " " $2; next }
        /\[/ {
            gsub(/[",:\[\]]/, " ")
            lines++
            pattern = $1; gsub(/\*/, ".*", pattern); pattern = "^" pattern "$"
            matched = 0
            for (kernel in kernels) {
                if (kernel !~ pattern) continue
                matched = 1
                count = split(list[kernel], instructions, " ")
                for (i = 2; i <= NF; i++) {
                    there = 0
                    for (k = 1; k <= count; k++) if (meets(instructions[k], $i)) there = 1
                    if (!there) { print kernel ": no " $i; bad = 1 }
                }
            }
            if (!matched) { print $1 ": no kernel of that name"; bad = 1 }
        }
        END { if (!lines) { print "the table is empty"; bad = 1 } exit bad }' source=sass "$1" source=table "$2"
}

# $1 output of kernel_instructions. Prints what reads or writes local memory; fails if anything does.
kernel_local_memory() { ! awk '$2 ~ /^(LDL|STL)/' "$1" | grep .; }
