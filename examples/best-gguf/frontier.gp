# What each size costs: the least summed damage that a plan of that size has.
# gnuplot -e "table='frontier.tsv'; picture='frontier.svg'" frontier.gp
set terminal svg size 720,440 background "white"
set output picture
set datafile separator "\t"
set datafile commentschars "#"
set xlabel "size of the file, MB"
set ylabel "predicted mean KL divergence, nats"
set logscale y
set grid
set key off
plot table using ($3 / 1e6):4 with linespoints pointtype 7 pointsize 0.4 linewidth 2
