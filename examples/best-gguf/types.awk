# A plan as a grid for types.gp: for each kind of matrix and each layer the bits of its
# type; what lies outside the blocks in layer -1.
BEGIN { FS = "\t"; order = "token_embd output attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down" }
/^#unit/ { for (i = 1; i <= NF; i++) column[$i] = i; next }
/^#/ { next }
{
    unit = $1; layer = -1; kind = unit
    if (split(unit, part, ".") == 3 && part[1] == "blk") { layer = part[2]; kind = part[3] }
    bits[kind, layer] = $(column["bits"]); type[kind, layer] = $(column["type"])
    if (layer > last) last = layer
    if (!(kind in known)) { known[kind] = 1; seen[++n] = kind }
}
END {
    split(order, wanted, " ")
    for (i = 1; i in wanted; i++)
        if (wanted[i] in known) { list[++m] = wanted[i]; delete known[wanted[i]] }
    for (i = 1; i <= n; i++)
        if (seen[i] in known) list[++m] = seen[i]
    for (k = 1; k <= m; k++)
        for (l = -1; l <= last; l++)
            if ((list[k], l) in bits)
                print k, list[k], l, bits[list[k], l], type[list[k], l]
}
