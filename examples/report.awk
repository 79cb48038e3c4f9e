# A row for each packed plan: its bytes, the damage that was predicted, and what was
# measured; and how much better the plan METHOD is by the first of METRICS, with the
# standard error of the differences item by item. Of several random plans there are the
# mean (its se is that of one of them) and the best.
#
# Where a text and a task are measured by divergence both, that of the text is text_kld.
#
# awk -f report.awk -v metrics='em loss ppl' -v method=moa -v foreign='nsds' -v text=wiki \
#     plan=NAME bytes=N PLAN EVAL ...
BEGIN {
    FS = OFS = "\t"
    n_metrics = split(metrics, metric, " ")
    n = split(foreign, list, " ")
    for (i = 1; i <= n; i++)
        unlike[list[i]] = 1
}
FNR == 1 && !(plan in size) { names[++n_plans] = plan; size[plan] = bytes }
/^##damage / { split($0, word, " "); predicted[plan] = plan in unlike ? "." : word[2] }
/^#/ || FILENAME !~ /\.eval$/ { next }
$3 == "kld" && $2 == text { $3 = "text_kld" }
NF >= 8 && $7 != "." { # one item
    if ($3 == metric[1]) {
        item[plan, $7] = $4
        if (!known[$7]++)
            items[++n_items] = $7
    }
    next
}
{ value[plan, $3] = $4; error[plan, $3] = $5 }

function lower(m) { return m ~ /^(ppl|nll|loss|kld|text_kld)$/ }
function number(x) { return x == "" ? "." : sprintf("%.5g", x) }

# Means over the plans random.1, random.2 ... as if they were one plan.
function average(name,   i, k, m, p) {
    for (i = 1; i <= n_plans; i++) {
        p = names[i]
        if (p !~ /^random\./)
            continue
        k++
        if (best == "" || (lower(metric[1]) ? -1 : 1) * (value[p, metric[1]] - value[best, metric[1]]) > 0)
            best = p
        size[name] += size[p]; predicted[name] += predicted[p]
        for (m = 1; m <= n_metrics; m++) {
            value[name, metric[m]] += value[p, metric[m]]
            error[name, metric[m]] += error[p, metric[m]]
        }
        for (m = 1; m <= n_items; m++)
            if ((p, items[m]) in item)
                item[name, items[m]] += item[p, items[m]]
    }
    if (!k)
        return 0
    size[name] /= k; predicted[name] /= k
    for (m = 1; m <= n_metrics; m++) {
        value[name, metric[m]] /= k; error[name, metric[m]] /= k
    }
    for (m = 1; m <= n_items; m++)
        if ((name, items[m]) in item)
            item[name, items[m]] /= k
    return 1
}

function row(name, p,   m, line, d, s, ss, k) {
    line = name OFS sprintf("%d", size[p]) OFS number(predicted[p])
    if (p in unlike)
        line = name OFS size[p] OFS "."
    for (m = 1; m <= n_metrics; m++)
        line = line OFS number(value[p, metric[m]]) OFS number(error[p, metric[m]])
    if (method == "") {
        print line
        return
    }
    for (m = 1; m <= n_items; m++)
        if ((p, items[m]) in item && (method, items[m]) in item) {
            d = (item[method, items[m]] - item[p, items[m]]) * (lower(metric[1]) ? -1 : 1)
            s += d; ss += d * d; k++
        }
    if (p == method || !k)
        print line, ".", "."
    else
        print line, number(s / k), number(k > 1 && ss > s * s / k ? sqrt((ss - s * s / k) / (k - 1) / k) : 0)
}

END {
    printf "#plan\tbytes\tpredicted"
    for (m = 1; m <= n_metrics; m++)
        printf "\t%s\tse", metric[m]
    print method == "" ? "" : "\tgain\tse"
    for (i = 1; i <= n_plans; i++)
        if (names[i] !~ /^random\./)
            row(names[i], names[i])
        else if (!done++ && average("random.mean")) {
            row("random.mean", "random.mean")
            row("random.best", best)
        }
}
