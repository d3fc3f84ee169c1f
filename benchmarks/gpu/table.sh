# Sourced: fields and rows out of the tool's JSON, which has one field in a line, and the table that they make.

# $1 name, $2 file. Prints the first field of that name, a text without its quotes.
json_field() { sed -n "s/^ *\"$1\": \"\{0,1\}\(.*[^,\"]\)\"\{0,1\},\{0,1\}\$/\1/p" "$2" | head -n 1; }

# Reads fields into f[] until an object of the array ends, then calls row() for it.
json_objects='
    function number(value, unit, format) { return (value == "" || value == "null") ? "" : sprintf(format, value / unit) }
    match($0, /^ *"[a-z0-9_]+": /) {
        name = $1; gsub(/[":]/, "", name)
        value = substr($0, RLENGTH + 1); sub(/,$/, "", value); gsub(/^"|"$/, "", value); gsub(/\|/, "/", value)
        f[name] = value
    }
    /^ *\},?$/ { row(); delete f }'

# $1 JSON of `bench kernels --measure`. Prints a row for each kernel.
kernel_rows() {
    awk -v OFS='|' "$json_objects"'
        function row() {
            if (!("kernel" in f)) return
            print f["stage"], f["kernel"] ", " f["shape"], f["weights"], f["batch"], number(f["milliseconds"], 1, "%.4f"), number(f["bytes_per_second"], 1e9, "%.1f"),
                number(f["operations_per_second"], 1e12, "%.3g"), number(f["share_of_peak"], 0.01, "%.1f %%"), number(f["occupancy"], 0.01, "%.0f %%"),
                number(f["cublas_ratio"], 1, "%.2f")
        }' "$1"
}

# $1 part, $2 weights, $3 JSON of `bench`. Prints a row for each stage, for the first token and for the memory.
model_rows() {
    awk -v OFS='|' -v part="$1" -v weights="$2" "$json_objects"'
        function row() {
            if (!("stage" in f)) return
            share = (f["share_of_read_bandwidth"] + 0 > f["share_of_peak"] + 0) ? f["share_of_read_bandwidth"] : f["share_of_peak"]
            print part, f["stage"], weights, 1, number(f["milliseconds"], 1, "%.3f"), number(f["gigabytes_per_second"], 1, "%.1f"),
                number(f["gops"], 1e3, "%.3g"), number(share, 0.01, "%.1f %%"), "", ""
        }' "$3"
    printf '%s|first token|%s|1|%s|||||\n' "$1" "$2" "$(json_field first_token_milliseconds "$3")"
    printf '%s|peak memory of the card, %s MB|%s|1||||||\n' "$1" "$(awk "BEGIN { printf \"%.0f\", $(json_field peak_device_memory_bytes "$3") / 1e6 }")" "$2"
}

# $1 file of rows. Writes the table, columns aligned.
write_table() {
    awk -F'|' '
        BEGIN { rows = 0; add("part|what|weights|batch|ms|GB/s|TFLOP/s|of peak|occupancy|cuBLAS / ours") }
        function add(line,   i, cells) {
            rows++
            columns = 10
            split(line, cells, "|")
            for (i = 1; i <= columns; i++) {
                text[rows, i] = cells[i]
                if (length(cells[i]) > width[i]) width[i] = length(cells[i])
            }
        }
        { add($0) }
        END {
            for (r = 1; r <= rows; r++) {
                line = "|"
                for (i = 1; i <= columns; i++) line = line sprintf(i > 3 ? " %" width[i] "s |" : " %-" width[i] "s |", text[r, i])
                print line
                if (r > 1) continue
                line = "|"
                for (i = 1; i <= columns; i++) { rule = sprintf("%" width[i] "s", ""); gsub(/ /, "-", rule); line = line " " rule (i > 3 ? ":|" : " |") }
                print line
            }
        }' "$1"
}
