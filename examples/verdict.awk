# What a report says of its first plan: which others it beats, loses to, or cannot be told
# apart from (a difference of less than two standard errors, or one without an error: a
# single item's).
# awk -f verdict.awk -v out=FILE [-v how=WORDS] report.tsv: HOW the plans were packed
BEGIN { FS = "\t" }
/^#/ { by = $4; gain = NF - 1; next }
!plan { plan = $1; bytes = $2; value = $4; next }
{
    word = $1 " (" $4 ")"
    if ($(gain + 1) == 0) equal = equal " " word
    else if ($gain > 2 * $(gain + 1)) won = won " " word
    else if ($gain < -2 * $(gain + 1)) lost = lost " " word
    else equal = equal " " word
}
END {
    if (value == ".") {
        printf "%s: %s was not measured: the task has none (METRIC)\n", out, by
        exit 1
    }
    printf "\n%s: the %s plan, %d bytes%s %s %s\n", out, plan, bytes, how == "" ? "," : "\n  " how ":", by, value
    if (lost) printf "  LOSES TO%s: a plan of the same size without it is better\n", lost
    if (won) printf "  beats%s\n", won
    if (equal) printf "  cannot be told apart from%s\n", equal
}
