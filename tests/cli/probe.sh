#!/bin/sh
# mpq-score on what was measured: -m moa and the metrics, --tau, and plans made of these.
. "$(dirname "$0")/lib.sh"
shape=$top/tests/data/shapes

# Four layers of two matrices, in f16; probes made by hand.
cat >shape <<'X'
##tensor token_embd f16 100 64
##tensor blk.0.attn_q f16 96 32
##tensor blk.0.ffn_down f16 4 256
##tensor blk.1.attn_q f16 96 32
##tensor blk.1.ffn_down f16 4 256
##tensor blk.2.attn_q f16 96 32
##tensor blk.2.ffn_down f16 4 256
##file 1000 32 rest=0 container=gguf st_header=900 st_rest=0 n_layer=3 tied=1 arch=llama name=m
X
columns='#unit	type	bits	params	task	metric	base	value	delta	se'
# probe FILE < "unit type task metric delta se" lines: a table of KIND probe
probe() {
    { cat shape; echo "$columns"
      awk -v OFS='\t' '{ print $1, $2, $2 == "q4_0" ? 4.5 : 8.5, 4096, $3, $4, 10, 10 + $5, $5, $6 }'
    } >"$1"
}
probe ppl.tsv <<'X'
blk.0 q4_0 wiki ppl 3 0.3
blk.0 q8_0 wiki ppl 1 0.1
blk.1 q4_0 wiki ppl 5 0.5
blk.1 q8_0 wiki ppl -1 0.2
blk.2 q4_0 wiki ppl 1 0.1
blk.2 q8_0 wiki ppl 0 0
blk.0 q4_0 wiki kld 0.3 0.03
blk.0 q8_0 wiki kld 0.1 0.01
blk.1 q4_0 wiki kld 0.5 0.05
blk.1 q8_0 wiki kld 0 0
blk.2 q4_0 wiki kld 0.1 0.01
blk.2 q8_0 wiki kld 0 0
X
probe task.tsv <<'X'
blk.0 q4_0 sums em 0.1 0.01
blk.0 q4_0 sums loss 1 0.4
blk.0 q8_0 sums loss 0 0.1
blk.0 q8_0 sums em 0 0.01
blk.1 q4_0 sums em 0.1 0.02
blk.1 q4_0 sums loss 2 0.2
blk.1 q8_0 sums loss 1 0.1
blk.1 q8_0 sums em 0.1 0.01
blk.2 q4_0 sums em 0.2 0.02
blk.2 q4_0 sums loss 3 0.1
blk.2 q8_0 sums loss 1 0.1
blk.2 q8_0 sums em -0.1 0.01
X
row() { grep -v '^#' out | awk -F'\t' -v k="$1" '$1 " " $2 == k { printf "%.6g %.6g\n", $5, $6 }'; }

# S = 0.7 task / 8 + 0.3 ppl / 10: positive deltas sum up to 8 and 10.
run 0 mpq-score -m moa ppl.tsv task.tsv; silent
equal "##mpq damage 1" "$(head -1 out | cut -d' ' -f1-3)"
equal "unit type bits params damage se delta1 se1 delta2 se2" \
    "$(sed -n 's/^#\([^#]\)/\1/p' out | tr '\t' ' ')"
grep '^##tensor\|^##file' out >meta; same meta shape
prints "##objective 1 task=wiki metric=ppl weight=0.30000000000000004 sum=10"
prints "##objective 2 task=sums metric=loss weight=0.69999999999999996 sum=8"
equal 6 "$(grep -vc '^#' out)" rows
equal "0.1775 0.0361386" "$(row 'blk.0 q4_0')" # 0.3*3/10 + 0.7*1/8; (0.3*.03, 0.7*.05)
equal "0.0875 0.0106095" "$(row 'blk.1 q8_0')" "a delta below 0"
equal "-1 0.20000000000000001" "$(awk -F'\t' '$1 == "blk.1" && $2 == "q8_0" { print $7, $8 }' out)"
equal "0.2925 0.00925" "$(row 'blk.2 q4_0')"
cp out moa.tsv
run 0 mpq-score -m moa -w 3,7 ppl.tsv task.tsv; grep -v '^#' out >rows
equal "" "$(grep -v '^#' moa.tsv | paste - rows | awk -F'\t' '{ d = $5 - $15; if (d * d > 1e-30) print }')" "-w 3,7 is beta 0.7"
run 0 mpq-score -m moa --beta 1 ppl.tsv task.tsv; equal "0.125 0.05" "$(row 'blk.0 q4_0')"
for q in rtn gptq; do sed "2i ##pack $q effort=default" task.tsv >$q.tsv; done
run 0 mpq-score -m moa --metric loss,em rtn.tsv gptq.tsv; one_line
says "gptq.tsv: another quantizer than in rtn.tsv: ##pack gptq effort=default"
run 0 mpq-score -m moa --norm none ppl.tsv task.tsv; equal "1.6 0.294109" "$(row 'blk.0 q4_0')"
run 0 mpq-score -m moa --metric kld,em ppl.tsv task.tsv; prints "metric=em"
# one table in which two tasks have the metric: the first in the table, then the second
{ cat ppl.tsv; grep loss task.tsv | sed 's/loss/kld/'; } >both.tsv
run 0 mpq-score -m moa --metric kld,kld both.tsv
equal "task=wiki metric=kld task=sums metric=kld" \
    "$(sed -n 's/^##objective . \(.*\) weight.*/\1/p' out | xargs)" "in their order"
run 2 mpq-score -m moa --metric kld both.tsv; says "one objective"
run 2 mpq-score -m moa --metric kld,kld,kld -w 1,1,1 both.tsv; says "tasks wiki and sums: name one"
# one table with everything, and three objectives
{ cat ppl.tsv; grep -v '^#' task.tsv; } >all.tsv
run 0 mpq-score -m moa --metric ppl,loss all.tsv; grep -v '^##mpq' out >a
grep -v '^##mpq' moa.tsv >b; same a b
run 0 mpq-score -m moa --task wiki,sums all.tsv; grep -v '^##mpq' out >a; same a b
run 0 mpq-score -m moa --metric ppl,kld,loss -w 1,1,2 all.tsv
equal "0.2125 0.027157" "$(row 'blk.0 q4_0')" # .25*3/10 + .25*.3/1 + .5*1/8
run 2 mpq-score -m moa --metric ppl,kld,loss all.tsv; says "3 objectives: -w has to weigh them"
run 2 mpq-score -m moa --metric , all.tsv; says "a word is empty"

# One metric: deltas as they are; several tables are parts.
run 0 mpq-score -m kld ppl.tsv; equal "0.3 0.03" "$(row 'blk.0 q4_0')"; cp out kld.tsv
grep -v 'blk.[12]	' ppl.tsv >part0.tsv; grep -v 'blk.0	' ppl.tsv >part1.tsv
run 0 mpq-score -m kld part0.tsv part1.tsv; same out kld.tsv
sh_run 0 "mpq-score -m kld <ppl.tsv"; same out kld.tsv
run 0 mpq-score -m ppl --norm sum ppl.tsv; equal "0.3 0.03" "$(row 'blk.0 q4_0')"
run 0 mpq-score -m loss -t q8_0 task.tsv; equal 3 "$(grep -vc '^#' out)" "one type"
run 0 mpq-score -m ppl -v ppl.tsv; says "1 of 6 deltas are below 0 and count as 0"

# Parts are of the same texts and tasks, which the ## lines of mpq-eval tell, in tables
# of their own and in one stream.
text='##text id=aa tokens=900 ctx=512 stride=0 chunks=2 scored=510 name=wiki'
task='##task id=cc items=8 cut=0 name=sums'
model='##model id=5120c083df0ec42e name=a model'
told() { for l; do echo "$l"; done; cat; }
told "$model" "$text" "$task" <part0.tsv >p0.tsv; told "$model" "$text" <part1.tsv >p1.tsv
run 0 mpq-score -m kld p0.tsv p1.tsv; same out kld.tsv
sh_run 0 "cat p0.tsv p1.tsv | mpq-score -m kld"; same out kld.tsv
run 0 mpq-score -m kld p0.tsv part1.tsv; same out kld.tsv # lines were filtered out
for other in id=ab chunks=3 ctx=64; do
    sed "/^##text/s/${other%%=*}=[^ ]*/$other/" p1.tsv >p2.tsv
    run 1 mpq-score -m kld p0.tsv p2.tsv; one_line
    says "mpq-score: p2.tsv: another text than in p0.tsv: ##text id="
    sh_run 1 "cat p0.tsv p2.tsv | mpq-score -m kld -"; one_line
    says "standard input: a second text in one table: ##text id="
done
sed 's/^##model id=5/##model id=6/' p1.tsv >p2.tsv
run 1 mpq-score -m kld p0.tsv p2.tsv; one_line; says "p2.tsv: another model than in p0.tsv: ##model id=6"
sh_run 1 "cat p0.tsv p2.tsv | mpq-score -m kld"; one_line; says "a second model in one table: ##model id=6"
sed 's/^##file 1000/##file 1001/' p1.tsv >p2.tsv
run 1 mpq-score -m kld p0.tsv p2.tsv; one_line; says "another model than p0.tsv: ##file 1001"
sh_run 1 "cat p0.tsv p2.tsv | mpq-score -m kld"; one_line; says "a second model in one table: ##file 1001"
sed 's/^##tensor blk.1.attn_q f16/##tensor blk.1.attn_q bf16/' p1.tsv >p2.tsv
sh_run 1 "cat p0.tsv p2.tsv | mpq-score -m kld"; one_line; says "a second model in one table: ##tensor blk.1.attn_q"
# a text is no task of that name, and a reference no other one
{ echo '##task items=8 cut=0 name=wiki'; cat part1.tsv; } >p2.tsv
run 1 mpq-score -m kld p0.tsv p2.tsv; one_line; says "p2.tsv: another task than in p0.tsv"
{ echo '##ref id=aa name=a'; cat part0.tsv; } >p2.tsv; sed 's/^##ref id=aa/##ref id=bb/' p2.tsv >p3.tsv
run 1 mpq-score -m kld p2.tsv p3.tsv; one_line; says "p3.tsv: another reference than in p2.tsv"
pack="##pack rtn effort=default"
{ echo "$pack"; cat part0.tsv; } >p2.tsv
for other in "##pack rtn effort=fast" "$pack calib=aa" "$pack imatrix=bb" "$pack int8"; do
    { echo "$other"; cat part1.tsv; } >p3.tsv
    run 1 mpq-score -m kld p2.tsv p3.tsv; one_line; says "p3.tsv: another quantizer than in p2.tsv: $other"
done
# another text beside it is none of these, nor are objectives of their own
{ echo "$text" | sed 's/wiki/web/; s/aa/bb/'; cat p1.tsv; } >p2.tsv
run 0 mpq-score -m kld p0.tsv p2.tsv; same out kld.tsv
told "$text" <ppl.tsv >p2.tsv; told "$text" <task.tsv | sed 's/id=aa/id=bb/' >p3.tsv
run 0 mpq-score -m moa p2.tsv p3.tsv; grep -v '^##mpq' out >a; grep -v '^##mpq' moa.tsv >b; same a b
sh_run 1 "cat p2.tsv p3.tsv | mpq-score -m moa --metric ppl,loss"; one_line; says "a second text in one table"

# What cannot be.
grep -v 'blk.1	q8_0.*loss' task.tsv >gap.tsv
run 1 mpq-score -m moa ppl.tsv gap.tsv; one_line
says "mpq-score: gap.tsv: no row for blk.1, q8_0, loss, which ppl.tsv has"
run 1 mpq-score -m moa --metric loss,ppl gap.tsv ppl.tsv; one_line
says "gap.tsv: no row for blk.1, q8_0, loss, which ppl.tsv has"
sed 's/^\(blk.1	.*	\)4096/\14095/; s/	4096	sums	loss/	4095	sums	loss/' task.tsv >other.tsv
run 1 mpq-score -m moa ppl.tsv other.tsv; one_line; says "has 4095 params, in ppl.tsv 4096"
sed 's/##tensor blk.1.attn_q f16/##tensor blk.1.attn_q bf16/' task.tsv >other.tsv
run 1 mpq-score -m moa ppl.tsv other.tsv; one_line; says "another model"
awk -F'\t' -v OFS='\t' '!/^#/ { $9 = -1 } 1' task.tsv >flat.tsv
run 1 mpq-score -m moa ppl.tsv flat.tsv; one_line; says "flat.tsv: loss: no delta above 0"
run 0 mpq-score -m loss flat.tsv; one_line
says "mpq-score: sums, loss: none of 6 deltas is above 0: all count as 0"
equal "0" "$(awk -F'\t' '/^blk/ { print $5 }' out | sort -u)" "damages"
run 0 mpq-score -q -m loss flat.tsv; silent
run 0 mpq-score -m moa --norm none ppl.tsv flat.tsv; one_line; says "sums, loss: none of 6 deltas"
# errors that no table takes, from a sum that is next to nothing
awk -F'\t' -v OFS='\t' '!/^#/ { $9 *= 1e-300 } 1' task.tsv >tiny.tsv
run 1 mpq-score -m moa ppl.tsv tiny.tsv; one_line; equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
says "ppl.tsv: blk.0, q4_0: a standard error of inf, not from 0 to 1e+100"
run 1 mpq-score -m acc task.tsv; one_line; says "no rows of metric acc"
run 1 mpq-score -m ppl --task gone ppl.tsv; one_line; says "of metric ppl of task gone"
{ cat ppl.tsv; grep -v '^#' ppl.tsv | sed 's/wiki/web/'; } >two.tsv
run 2 mpq-score -m ppl two.tsv; says "tasks wiki and web: name one with --task"
run 0 mpq-score -m ppl --task web two.tsv
run 1 mpq-score -m moa --metric acc,em ppl.tsv; run 2 mpq-score -m moa ppl.tsv
says "one objective"
grep -v 'ppl' ppl.tsv | sed 's/kld/nll/;p;s/nll/top1/' | awk '!(/blk/ && seen[$0]++)' >no.tsv
run 2 mpq-score -m moa no.tsv task.tsv; says "metrics nll and top1: name one with --metric"
{ cat ppl.tsv; grep 'blk.1	q8_0.*ppl' ppl.tsv; } >twice.tsv
run 1 mpq-score -m ppl twice.tsv; one_line; says "two rows for blk.1, q8_0, ppl"
sed 's/q8_0/q8_9/' ppl.tsv >x.tsv; run 1 mpq-score -m ppl x.tsv; says "unknown type q8_9"; one_line
sed 's/	-1	/	nan	/' ppl.tsv >x.tsv; run 1 mpq-score -m ppl x.tsv; says "not a finite number"
sed 's/	0.3$/	-0.3/' ppl.tsv >x.tsv; run 1 mpq-score -m ppl x.tsv; says "se of -0.3: a number from 0"
run 1 mpq-score -m ppl moa.tsv; one_line; says "damage"
run 1 mpq-score -m moa -o made.tsv ppl.tsv gone.tsv; absent made.tsv
sh_run 1 "{ echo '##mpq probe 1'; cat ppl.tsv; } | mpq-score -m ppl"; says "cut short"
run 2 mpq-score -m moa --beta 2 ppl.tsv task.tsv
run 2 mpq-score -m moa -w 1 ppl.tsv task.tsv; says "-w: 1 of 2 objectives"
run 2 mpq-score -m moa -w 1,x ppl.tsv task.tsv; says "-w: 'x' is no weight"
run 2 mpq-score -m moa -w 0,0 ppl.tsv task.tsv; says "all weights are 0"
run 2 mpq-score -m moa -w 1,2 --beta 0.5 ppl.tsv task.tsv
run 2 mpq-score -m moa --by tensor ppl.tsv task.tsv; says "--by is for stats"
run 2 mpq-score -m ppl --beta 0.5 ppl.tsv; says "--beta is for -m moa"
run 2 mpq-score --norm sum ppl.tsv; says "--norm is for probes"
# lines that end in CR LF: the last column would have another name
sed 's/$/\r/' ppl.tsv >crlf.tsv
run 1 mpq-score -m ppl crlf.tsv; one_line; says "crlf.tsv:1: ends in CR LF"
sed 's/$/\r/' moa.tsv >crlf.tsv
run 1 mpq-alloc -b 5.9 --risk 1 crlf.tsv; one_line; says "crlf.tsv:1: ends in CR LF"
sh_run 0 "tr -d '\r' <crlf.tsv | mpq-alloc -q -b 5.9"

# --tau: by hand, q4_0 has 3 5 1 beside 1 2 3, q8_0 1 -1 0 beside 0 1 1.
run 0 mpq-score --tau --metric ppl ppl.tsv ppl.tsv; silent
equal "##mpq tau 1" "$(head -1 out | cut -d' ' -f1-3)"
prints "wiki:ppl	wiki:ppl	3	1	0.33333333333333331	q4_0"
cp ppl.tsv p.tsv; sed 's/loss/ppl/; s/	em	/	x	/' task.tsv >t.tsv
run 0 mpq-score --tau --metric ppl p.tsv t.tsv; silent
prints "wiki:ppl	sums:ppl	3	-0.33333333333333331	1	q4_0"
equal "-0.816 0.221 q8_0" "$(awk -F'\t' '$6 == "q8_0" { printf "%.3f %.3f %s\n", $4, $5, $6 }' out)"
equal "6 ." "$(awk -F'\t' '$6 == "." { print $3, $6 }' out)" "all pairs"
run 0 mpq-score --tau --task wiki all.tsv
equal "wiki:ppl wiki:kld" "$(awk -F'\t' '/^wiki/ { print $1, $2; exit }' out)" "in one table"
run 0 mpq-score --tau moa.tsv kld.tsv; equal "moa kld 3" "$(awk -F'\t' '!/^#/ { print $1, $2, $3; exit }' out)"
run 0 mpq-score --scale 2 kld.tsv -o twice.tsv # names itself after its file, not a method
run 0 mpq-score --tau twice.tsv kld.tsv; equal "twice.tsv kld 3" "$(awk -F'\t' '!/^#/ { print $1, $2, $3; exit }' out)"
run 2 mpq-score --scale 2 --by tensor kld.tsv; says "--by is for stats"
{ cat shape; printf '#unit\tscore\tparams\nblk.0\t3\t4096\nblk.1\t5\t4096\nblk.2\t1\t4096\n'; } >s.tsv
run 0 mpq-score --tau s.tsv moa.tsv; equal 2 "$(grep -vc '^#' out)" "scores beside damages, by type"
equal "3 0.33333333333333331" "$(awk -F'\t' '$6 == "q4_0" { print $3, $4 }' out)"
run 0 mpq-score --tau s.tsv s.tsv; equal "3 1 ." "$(awk -F'\t' '!/^#/ { print $3, $4, $6 }' out)"
run 0 mpq-score --tau -t q8_0 moa.tsv moa.tsv; equal "1" "$(grep -vc '^#' out)"
awk -F'\t' -v OFS='\t' '/^blk/ { $5 = 0 } 1' moa.tsv | grep -v '^##mpq\|^##end' >zero.tsv
run 0 mpq-score --tau moa.tsv zero.tsv; prints "nan	nan"
grep -v 'blk.2' s.tsv >few.tsv
run 1 mpq-score --tau few.tsv s.tsv; one_line; says "few.tsv: no row for blk.2, which s.tsv has"
run 1 mpq-score --tau few.tsv moa.tsv; one_line; says "few.tsv: no row for blk.2, which moa.tsv has"
grep -v '^##mpq\|^##end\|^blk.2' moa.tsv >few2.tsv
run 1 mpq-score --tau s.tsv few2.tsv; one_line; says "few2.tsv: no row for blk.2, which s.tsv has"
run 1 mpq-score --tau few2.tsv moa.tsv; one_line; says "few2.tsv: no row for blk.2, q4_0, which moa.tsv has"
run 2 mpq-score --tau s.tsv; says "one ranking"
run 2 mpq-score --tau -m moa s.tsv s.tsv
run 1 mpq-score --tau --metric em s.tsv ppl.tsv; one_line; says "no rows of that task and metric"
mpq-stats -q --only moments "$top/examples/tiny-model/tiny-model.gguf" >stats.tsv
run 1 mpq-score --tau stats.tsv s.tsv; one_line; says "stats"

# --refine, by hand. As q4_0 all lose 0.9, as q8_0 0.1. One plan: one factor. Two with
# factors 2 and 1: f = sqrt 2, and g of (b^2 + 0.01) g = b (1 - b), b = f / factor.
allof() { printf '#unit\ttype\ntoken_embd\tf16\n'; for i in 0 1 2; do printf "blk.$i\t$1\n"; done; }
allof q4_0 >four.plan; allof q8_0 >eight.plan
factor() { sed -n "s/^##refine $1 factor=//p" out | xargs printf '%.4f'; }
run 0 mpq-score --refine four.plan=1.8 kld.tsv; silent; cp out refined.tsv
equal "2.0000 2.0000" "$(factor q4_0) $(factor q8_0)" "one plan, one factor"
equal "0.6 0.06" "$(row 'blk.0 q4_0')"; prints "blk.0	q4_0	4.5	4096"
equal "$(sed -n 's/^#\([^#]\)/\1/p' kld.tsv)" "$(sed -n 's/^#\([^#]\)/\1/p' out)" "columns"
run 0 mpq-score --refine four.plan=1.8 --refine eight.plan=0.1 kld.tsv
equal "1.9885 1.0021" "$(factor q4_0) $(factor q8_0)" "two plans"
one_line; says "q4_0: factor 1.99, 41% above the plans' mean of 1.41: more than the 20%"
run 0 mpq-score --refine four.plan=0.95 --refine eight.plan=0.1 kld.tsv; silent
# what the squares would make free, and what is no number or too large
allof q4_0 | sed '/blk.0/s/q4_0/q8_0/' >mixed.plan
run 1 mpq-score --refine four.plan=0.9 --refine mixed.plan=0.1 kld.tsv; one_line
says "the plans contradict each other: by them q8_0 would lose -1.12 times its damages"
equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
run 1 mpq-score --refine four.plan=0.9 --refine eight.plan=100 kld.tsv; one_line
says "four.plan=0.9: lost 1 times its damages, the plans on the mean 31.6 times theirs: they contradict"
awk -F'\t' -v OFS='\t' '/^blk/ { $5 *= 1e-90 } 1' kld.tsv | grep -v '^##mpq\|^##end' >x.tsv
run 1 mpq-score --refine four.plan=1e90 x.tsv; one_line; says "a loss of 1e+90 where the damages come to 9e-91"
awk -F'\t' -v OFS='\t' '/^blk.0.q8/ { $5 = $6 = 1e99 } 1' x.tsv >y.tsv
run 1 mpq-score --refine four.plan=1 y.tsv; one_line; says "y.tsv: blk.0, q8_0: a damage of 1.11111e+189, not"
equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
run 0 mpq-score --refine four.plan=1.8 refined.tsv
equal "1.0000" "$(factor q4_0)" "refined once, right ever after"
run 0 mpq-alloc -q -b 5.9 -t q4_0,q8_0 refined.tsv; grep '^blk' out >a
run 0 mpq-alloc -q -b 5.9 -t q4_0,q8_0 kld.tsv; grep '^blk' out >b; same a b
# of several objectives the deltas are put together as the damages were: 0.795 in all
run 0 mpq-score --refine four.plan=9,6 moa.tsv; equal "1.0000" "$(factor q4_0)" "0.3*9/10 + 0.7*6/8"
run 2 mpq-score --refine four.plan=9 moa.tsv; says "takes 2 numbers, one for each objective"
run 2 mpq-score --refine four.plan=1,2 kld.tsv; says "takes 1 number,"
run 2 mpq-score --refine four.plan kld.tsv; says "PLAN=DELTA is expected"
run 2 mpq-score --refine four.plan=x kld.tsv
run 1 mpq-score --refine four.plan=-1 kld.tsv; one_line; says "lost nothing tells nothing"
run 1 mpq-score --refine gone.plan=1 kld.tsv; one_line; says "gone.plan"
allof f16 >none.plan
run 1 mpq-score --refine none.plan=1 kld.tsv; one_line; says "has no damage"
allof q5_0 >five.plan
run 1 mpq-score --refine five.plan=1 kld.tsv; one_line; says "no row for unit blk.0, q5_0"
run 1 mpq-score --refine four.plan=1 s.tsv; one_line; says "scores, --refine takes damages"
run 2 mpq-score --refine four.plan=1 kld.tsv kld.tsv; says "takes one table"
run 2 mpq-score --refine four.plan=1 -m kld ppl.tsv; says "goes without -m"
run 1 mpq-score --refine four.plan=1 -o made.tsv bare.none; absent made.tsv

# From a probe to a plan, without the model. 0.2875, 0.2625 and 0.205 are what more bits
# take off blk.1, blk.2 and blk.0.
run 0 mpq-alloc -q -b 5.9 -t q4_0,q8_0 moa.tsv; cp out plan.tsv
equal "q4_0 q8_0 q4_0 " "$(grep '^blk' plan.tsv | cut -f2 | tr '\n' ' ')"
# what is told of a risk: with 9 standard errors blk.0 (se 0.036) comes before blk.2
run 0 mpq-alloc -q -b 5.9 -t q4_0,q8_0 --risk 9 moa.tsv
equal "q8_0 q4_0 q4_0 " "$(grep '^blk' out | cut -f2 | tr '\n' ' ')" "--risk 9"
cut -f1-5 moa.tsv | grep -v '^##mpq\|^##end' >bare.tsv
run 2 mpq-alloc -q -b 5.9 --risk 1 bare.tsv; says "a risk needs damages with a column se"
# pins, ties, the present type (no damage), a layer without rows
run 0 mpq-alloc -q -b 5.9 -t q4_0,q8_0 --pin blk.1=q4_0 moa.tsv
equal "q4_0 q8_0 " "$(grep '^blk.[02]	' out | cut -f2 | tr '\n' ' ')" "pinned"
run 0 mpq-alloc -q -b 7.3 -t q4_0,q8_0 --tie blk.0,blk.1 moa.tsv
equal "q8_0 q8_0 q4_0 " "$(grep '^blk' out | cut -f2 | tr '\n' ' ')" "tied"
run 0 mpq-alloc -q -b 11 -t q4_0,q8_0,keep moa.tsv
equal "f16 q8_0 q8_0 " "$(grep '^blk' out | cut -f2 | sort | tr '\n' ' ')" "kept"
equal "0.1175" "$(sed -n 's/^##damage \([^ ]*\).*/\1/p' out | xargs printf %.4f)" "without damage"
grep -v '^##mpq\|^##end\|^blk.0' moa.tsv >two.tsv
run 0 mpq-alloc -b 5.9 -t q4_0,q8_0 two.tsv; says "no damage, so the mean: blk.0"
grep -v '^##mpq\|^##end\|^blk.0	q8_0' moa.tsv >gap.tsv
run 1 mpq-alloc -b 5.9 gap.tsv; one_line; says "no row for unit blk.0, q8_0"
# halves of layers
{ cat shape; awk -F'\t' -v OFS='\t' '/^#unit/ { print "#unit", "type", "bits", "params", "damage", "se" }
    /^blk/ { print $1 ".attn", $2, $3, 3072, $5, $6; print $1 ".ffn", $2, $3, 1024, $5 * 2, $6 }' moa.tsv
} >halves.tsv
run 0 mpq-alloc -b 5.6 -t q4_0,q8_0 halves.tsv; says "6 modules: 3 q4_0, 3 q8_0"
equal "blk.0.ffn_down blk.1.ffn_down blk.2.ffn_down " \
    "$(grep 'q8_0' out | grep '^blk' | cut -f1 | tr '\n' ' ')"
run 0 mpq-alloc -q -b 5.6 -t q4_0,q8_0 --pin blk.2.ffn=q4_0 --pin blk.2=q8_0 halves.tsv
equal "blk.2.attn_q q8_0" "$(grep '^blk.2' out | cut -f1,2 | grep q8_0 | tr '\t' ' ')" "a module's pin over a layer's"
run 0 mpq-alloc -q -b 5.6 -t q4_0,q8_0 --split layer halves.tsv
equal 3 "$(grep -c '^blk' out)" "rows of layers"
run 0 mpq-alloc -q -b 5.6 -t q4_0,q8_0 --split module moa.tsv
equal 6 "$(grep -c '^blk' out)" "a layer's figure spread over its halves"

# The least that a table made by hand has, as mpq-formats says.
hand() { awk -v OFS='\t' -v bits="$1" 'BEGIN { print "#unit", "type", bits "params", "damage" }
    /^##tensor blk/ { n = $4 * $5; b = bits ? 4.5 "\t" : ""
        print $2, "q4_0", b n, n; print $2, "q8_0", b n, n / 250 }' shape; }
hand '' >hand.tsv; grep '^##tensor' shape >tensors; echo '##file 1000 32' >file
run 1 mpq-alloc -q -b 5.9 hand.tsv; says "name the model with --model"
sh_run 0 "cat tensors file hand.tsv | mpq-alloc -q -b 5.9"; equal 6 "$(grep -c '^blk' out)" "matrices"
sh_run 2 "cat tensors file hand.tsv | mpq-alloc -q -b 5.9 --risk 1"; says "a column se"
sh_run 1 "cat tensors hand.tsv | mpq-alloc -q -b 5.9"; one_line; sh_run 1 "cat file hand.tsv | mpq-alloc -q -b 5.9"; one_line
for column in unit type params; do # none of them can be left out
    sh_run 1 "sed '1s/$column/x/' hand.tsv | cat tensors file - | mpq-alloc -q -b 5.9"
    one_line; says "standard input: no column $column"
done
sh_run 1 "sed 's/3072/3071/' hand.tsv | cat tensors file - | mpq-alloc -q -b 5.9"; one_line; says "has 3071 params, the model's has 3072"
sh_run 1 "sed '2s/\t[0-9]*\t/\t7\t/' hand.tsv | cat tensors file - | mpq-alloc -q -b 5.9"; one_line; says "has 7 params"
sh_run 1 "sed '3s/\t[0-9]*\t/\t7\t/' hand.tsv | cat tensors file - | mpq-alloc -q -b 5.9"; one_line; says "has 7 params"
run 1 mpq-score --scale 2 hand.tsv; one_line; says "no column bits"
hand 'bits	' >hand.tsv
run 0 mpq-score --scale 2 hand.tsv; silent; equal 6144 "$(grep 'blk.0.attn_q	q4_0' out | cut -f5)"
run 0 mpq-score --tau hand.tsv hand.tsv; run 0 mpq-score -m moa hand.tsv hand.tsv
run 1 mpq-score --refine four.plan=1 hand.tsv; one_line; says "no ##file lines"
sh_run 0 "cat tensors file hand.tsv | mpq-score --refine four.plan=1"
grep -v '^##' ppl.tsv | cut -f1-6,9 >least.tsv; run 0 mpq-score -m kld least.tsv
equal "0.3 0" "$(row 'blk.0 q4_0')" "a probe without base, value and se"

# --fill: probes of two matrices, a cheap figure of all six; probes are 10 times that.
{ cat shape; printf '#unit\ttype\tbits\tparams\tdamage\tse\n'
  for l in 0 1 2; do for t in q4_0 q8_0; do
      [ $t = q4_0 ] && b=4.5 d=0.01 || b=8.5 d=0.00003
      printf 'blk.%s.attn_q\t%s\t%s\t3072\t%s\t0\n' $l $t $b $d
      printf 'blk.%s.ffn_down\t%s\t%s\t1024\t%s\t0\n' $l $t $b $d
  done; done; } >cheap.tsv
{ cat shape; echo "$columns"
  printf 'blk.0.attn_q\tq4_0\t4.5\t3072\twiki\tkld\t0\t0.1\t0.1\t0.001\n'
  printf 'blk.1.ffn_down\tq4_0\t4.5\t1024\twiki\tkld\t0\t0.1\t0.1\t0.001\n'; } >few.tsv
run 0 mpq-score -m kld --fill cheap.tsv few.tsv; silent
equal 12 "$(grep -vc '^#' out)" "a row for each pair"
equal 0.1 "$(grep 'q4_0' out | awk '{ printf "%.3g\n", $5 }' | sort -u)" "ten times the cheap figure"
prints "##fill attn_q n=1 scale=10 "
grep '^##tensor\|^##file' out >meta; same meta shape
mv out filled.tsv
run 0 mpq-alloc -q -b 6 filled.tsv
# --scale: damages of weights times X; the inputs' part is neither scaled nor fitted
awk 'BEGIN { FS = OFS = "\t" } /^##/ { print; next } /^#/ { print $0, "inputs"; next }
    { $5 += 0.5; print $0, 0.5 }' cheap.tsv >inputs.tsv
run 0 mpq-score -m kld --fill inputs.tsv --scale 0.25 few.tsv; silent
equal "0.525 0.5" "$(grep 'q4_0' out | awk '{ printf "%.3g %.3g\n", $5, $10 }' | sort -u)" "a quarter, and inputs"
equal "0.01" "$(grep 'q4_0' out | awk '{ printf "%.3g\n", $7 }' | sort -u)" "cheap is of weights"
run 0 mpq-score -m kld --fill inputs.tsv --scale 0.25,ffn_down=1 few.tsv; silent
equal "0.525 0.6" "$(grep 'q4_0' out | awk '{ printf "%.3g\n", $5 }' | sort -u | xargs)" "ffn_down as it was"
# alone, on a table of damages
run 0 mpq-score --scale 0.5,ffn_down=3 inputs.tsv; silent
equal "blk.1.attn_q 0.505 0.5
blk.1.ffn_down 0.53 0.5" "$(grep 'blk.1.*q4_0' out | awk '{ printf "%s %.3g %.3g\n", $1, $5, $7 }')" "weights' part alone"
grep '^##tensor\|^##file' out >meta; same meta shape
run 0 mpq-score --scale 1 cheap.tsv
grep -v '^##' cheap.tsv | cut -f1,2 >a; grep -v '^##' out | cut -f1,2 >b; same a b
run 2 mpq-score -m kld --scale 2 few.tsv; says "--scale goes with --fill, or alone"
run 2 mpq-score --scale 2,ffn_dwn=1 cheap.tsv; says "--scale: cheap.tsv has no units of family ffn_dwn"
run 2 mpq-score --scale 2,=1 cheap.tsv; says "'=1' is not X or FAMILY=X"
run 2 mpq-score --scale ffn_down=-1 cheap.tsv; says "'ffn_down=-1' is not X or FAMILY=X"
run 2 mpq-score --scale 2,ffn_down=1,3 cheap.tsv; says "'3': a number without a family stands there twice"
run 2 mpq-score --scale ffn_down=2,ffn_down=3 cheap.tsv; says "'ffn_down=3': ffn_down stands there twice"
run 2 mpq-score -m kld --fill cheap.tsv --scale 2,2 few.tsv; says "stands there twice"
run 2 mpq-score --scale 2, cheap.tsv; says "'' is not X or FAMILY=X"
run 2 mpq-score --scale 2 cheap.tsv cheap.tsv; says "--scale takes one table"
run 1 mpq-score --scale 2 few.tsv; says "few.tsv"
# what is no damage, or would be none: with file, line and unit; nothing is written
sed '/blk.1.ffn_down	q4_0/s/0.01/-0.01/' cheap.tsv >bad.tsv
run 1 mpq-score --scale 2 bad.tsv; one_line; equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
says "mpq-score: bad.tsv:15: blk.1.ffn_down, q4_0: a damage of -0.01, below 0"
equal 15 "$(grep -n 'ffn_down.*-0.01' bad.tsv | cut -d: -f1)" "its line"
sed '/blk.1.ffn_down	q4_0/s/0.51/0.49/' inputs.tsv >bad.tsv
run 1 mpq-score --scale 2 bad.tsv; one_line
says "bad.tsv:15: blk.1.ffn_down, q4_0: a damage of 0.49, below 0.5, what its inputs cost"
sed '/blk.1.ffn_down	q4_0/s/0.51/1e99/' inputs.tsv >bad.tsv
run 1 mpq-score --scale 100 bad.tsv; one_line; equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
says "bad.tsv: blk.1.ffn_down, q4_0: a damage of 1e+101, not from 0 to 1e+100"
run 0 mpq-score --scale 10 bad.tsv
sed '/blk.1.ffn_down	q4_0/s/	0	/	1e99	/' inputs.tsv >bad.tsv
run 1 mpq-score --scale 100 bad.tsv; one_line; says "blk.1.ffn_down, q4_0: a standard error of 1e+101"
# moa of damages that were foretold: 0.7 of inputs.tsv's 0.51 by its sum (6 of 0.51, 6 of
# 0.50003) and 0.3 of cheap.tsv's 0.01 by its (6 of 0.01, 6 of 0.00003)
run 0 mpq-score -m moa cheap.tsv inputs.tsv; silent
equal "$(awk 'BEGIN { printf "%.6g", 0.7 * 0.51 / (6 * 0.51 + 6 * 0.50003) + 0.3 * 0.01 / (6 * 0.01003) }')" \
    "$(grep 'q4_0' out | awk '{ printf "%.6g\n", $5 }' | sort -u)" "text and task foretold"
grep -q "^##objective 2 task=inputs.tsv metric=damage weight=0.6999" out && pass || fail "no objective 2"
# nothing to pick from there; a probe among them has something
run 2 mpq-score -m moa --metric kld cheap.tsv inputs.tsv; says "--metric picks from probes, and there is none: cheap.tsv"
run 2 mpq-score -m moa --task wiki,sums cheap.tsv inputs.tsv; says "--task picks from probes"
run 2 mpq-score --tau --metric kld cheap.tsv inputs.tsv; says "--metric picks from probes"
run 2 mpq-score --tau --task wiki s.tsv moa.tsv; says "--task picks from probes, and there is none: s.tsv"
awk -F'\t' -v OFS='\t' '/^blk/ { $5 /= 2 } 1' kld.tsv | grep -v '^##mpq\|^##end' >foretold.tsv
run 0 mpq-score -m moa --metric kld --task wiki foretold.tsv ppl.tsv; silent
prints "##objective 2 task=wiki metric=kld"
run 0 mpq-score --tau --metric kld --task wiki foretold.tsv ppl.tsv; silent
prints "foretold.tsv	wiki:kld	3	1	"
run 2 mpq-score -m moa cheap.tsv; says "cheap.tsv: one objective"
{ cat shape; printf '#unit\tscore\tparams\nblk.0\t1\t9\n'; } >scores.tsv
run 1 mpq-score -m moa cheap.tsv scores.tsv; one_line
# The shape is that of DAMAGE: the probes may be of a packed file (--each back).
sed '/^##tensor/s/ f16 / q4_0 /' few.tsv >packed.tsv
equal 7 "$(grep -c '^##tensor.* q4_0 ' packed.tsv)" "matrices of a packed file"
run 0 mpq-score -m kld --fill cheap.tsv packed.tsv
grep '^##tensor\|^##file' out >meta; same meta shape
# parts of probes by --each back, which are of one packed file, and of one text
told "$model" "$text" <packed.tsv | grep -v '^blk.1' >p0.tsv
told "$model" "$text" <packed.tsv | grep -v '^blk.0' >p1.tsv
run 0 mpq-score -m kld --fill cheap.tsv p0.tsv p1.tsv; same out filled.tsv
sed 's/chunks=2/chunks=4/' p1.tsv >p2.tsv
run 1 mpq-score -m kld --fill cheap.tsv p0.tsv p2.tsv; one_line; says "p2.tsv: another text than in p0.tsv"
sh_run 1 "cat p0.tsv p2.tsv | mpq-score -m kld --fill cheap.tsv"; one_line; says "a second text in one table"
run 0 mpq-score -v -m kld --fill cheap.tsv few.tsv; says "one probe is 10 times the figure of"
{ cat few.tsv; printf 'blk.2.attn_q\tq4_0\t4.5\t3072\twiki\tkld\t0\t0.2\t0.2\t0.001\n'; } >more.tsv
run 0 mpq-score -v -m kld --fill cheap.tsv more.tsv; says "give or take a factor of"
run 2 mpq-score -m moa --fill cheap.tsv few.tsv few.tsv; says "--fill goes with one metric"
run 2 mpq-score --fill cheap.tsv few.tsv; says "--fill goes with one metric"
run 1 mpq-score -m kld --fill few.tsv few.tsv; one_line
sed 's/0.01/-1/' cheap.tsv >bad.tsv
run 1 mpq-score -m kld --fill bad.tsv few.tsv; one_line
grep -v 'attn_q	q4_0\|ffn_down	q4_0' cheap.tsv >other.tsv
run 1 mpq-score -m kld --fill other.tsv few.tsv; one_line; says "nothing is measured"
run 1 mpq-score -m kld --fill none.tsv few.tsv; one_line
# units are the same in both, and as large
sed 's/blk.1.ffn_down	q4_0	4.5	1024/blk.1.ffn_down	q4_0	4.5	1025/' few.tsv >bad.tsv
run 1 mpq-score -m kld --fill cheap.tsv bad.tsv; one_line
says "bad.tsv: blk.1.ffn_down has 1025 params, in cheap.tsv 1024"
run 1 mpq-score -m kld --fill cheap.tsv part0.tsv part1.tsv; one_line
says "part0.tsv has units such as blk.0, cheap.tsv such as blk.0.attn_q, none in common: both are to be by"
sed 's/^blk.0.attn_q/blk.0.attn/' few.tsv >bad.tsv
run 1 mpq-score -m kld --fill cheap.tsv bad.tsv; one_line
says "cheap.tsv: no row for unit blk.0.attn, which bad.tsv has"
# a type that the unit lacks there is appended
{ cat few.tsv; printf 'blk.0.attn_q\tq5_0\t5.5\t3072\twiki\tkld\t0\t0.05\t0.05\t0.001\n'; } >more.tsv
run 0 mpq-score -m kld --fill cheap.tsv more.tsv; one_line
says "more.tsv: 1 of 3 probes have types that cheap.tsv lacks for the unit: there the delta is all"
equal "0.05 nan" "$(awk -F'\t' '$2 == "q5_0" { printf "%.3g %s\n", $5, $7 }' out)" "appended"
run 0 mpq-score -m kld -t q4_0,q8_0 --fill cheap.tsv more.tsv; silent
# no delta above 0: what is known is the error alone
sed 's/	0.1	0.1	0.001/	-0.1	-0.1	0.001/' few.tsv >bad.tsv
run 0 mpq-score -m kld --fill cheap.tsv bad.tsv; one_line
says "wiki, kld: none of 2 deltas is above 0: their standard errors count"
# damages below 0 or below their inputs, and what would be no number or too large
sed 's/	0.01	0$/	-0.01	0/' cheap.tsv >bad.tsv
run 1 mpq-score -m kld --fill bad.tsv few.tsv; one_line; says "bad.tsv:10: blk.0.attn_q, q4_0: a damage of -0.01"
sed 's/	0.51	0	/	0.4	0	/' inputs.tsv >bad.tsv
run 1 mpq-score -m kld --fill bad.tsv few.tsv; one_line; says "bad.tsv:10: blk.0.attn_q, q4_0: a damage of 0.4, below 0.5"
sed '/blk.0.attn_q	q4_0/s/0.01/1e-300/' cheap.tsv >bad.tsv; sed 's/	0.1	0.1	0.001/	1e90	1e90	1/' few.tsv >x.tsv
run 1 mpq-score -m kld --fill bad.tsv x.tsv; one_line; equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
says "blk.0.attn_q, q8_0: a damage of inf, not from 0 to 1e+100"
sed 's/	0.1	0.1	0.001/	1e99	1e99	1/' few.tsv >x.tsv
run 1 mpq-score -m kld --fill cheap.tsv --scale 1e6 x.tsv; one_line; says "blk.0.attn_q, q4_0: a damage of 1e+105"

finish
