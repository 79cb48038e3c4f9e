# Which matrix got how many bits: a row for each kind of matrix, a column for each layer.
# gnuplot -e "table='types.dat'; picture='types.svg'" types.gp
set terminal svg size 1000,340 background "white"
set output picture
set palette defined (2 "#fee8c8", 4.5 "#fdbb84", 6 "#e34a33", 9 "#7f0000")
set cbrange [2:9]
set cblabel "bits of a weight"
set xlabel "layer"
set yrange [] reverse
unset key
set xtics nomirror
set ytics nomirror
plot table using 3:1:4:ytic(2) with points pointtype 5 pointsize 1.6 palette
