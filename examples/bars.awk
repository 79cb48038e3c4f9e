# A bar for each layer's score. First file: a plan; second file: scores by layer.
/^##/ { next }
/^#/ { # column names, for either file
    sub(/^#/, "")
    split("", col)
    for (i = 1; i <= NF; i++) col[$i] = i
    file++
    next
}
file == 1 && $col["unit"] ~ /^blk\./ {
    split($col["unit"], part, ".")
    unit = part[1] "." part[2]
    n = ++count[unit, $col["type"]]
    if (n > most[unit]) { most[unit] = n; type[unit] = $col["type"] }
}
file == 2 {
    name[++rows] = $col["unit"]
    score[rows] = $col["score"]
    nsds[rows] = $col["nsds"]
    if ($col["score"] > top) top = $col["score"]
}
END {
    for (i = 1; i <= rows; i++) {
        bar = ""
        for (k = 1; k <= 32; k++) bar = bar (top > 0 && k <= 32 * score[i] / top ? "#" : ".")
        printf "%-7s %.6f %6.2f  %s  %s\n", name[i], nsds[i], score[i], bar, type[name[i]]
    }
}
