#!/usr/bin/env python3
"""Makes knap.tsv: the least damage of 1,000 random multiple-choice knapsacks, found by
GLPK's integer solver (glpsol, Debian glpk-utils). The instances themselves are not
stored: tests/unit/t_knap.c builds them from the same seeds in the same way.

usage: gen_knap.py [COUNT] > knap.tsv"""
import os
import subprocess
import sys
import tempfile

MASK = (1 << 64) - 1


class Random:
    """splitmix64 (Steele, Lea, Flood 2014)"""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n


BITS = [9, 11, 14, 17, 18, 20, 22, 24, 26, 34, 64, 128]


def instance(seed):
    """Units as lists of (size, damage), whole numbers, and a budget."""
    r = Random(seed)
    family = seed % 6
    n = 2 + r.below(29)
    k = 1 + r.below(12)
    if family in (3, 4):  # symmetric: more than GLPK's branch and bound can bear
        n = 2 + n // 6
    shapes = [(1 + r.below(64)) * 32 for _ in range(7)]
    units = []
    for u in range(n):
        if family == 5:  # as many choices as it likes
            k = 1 + r.below(12)
        shape = 320 if family == 3 else shapes[r.below(7)]
        score = 1000 if family in (3, 4) else 1 + r.below(5000)
        unit = []
        for c in range(k):
            if family == 0:  # nothing to do with each other
                size, damage = 1 + r.below(100000), r.below(1000000)
            elif family == 1:  # as of quantized weights: a quarter for each bit
                size = shape * BITS[c]
                damage = (score * shape * 1000) >> (BITS[c] // 4)
            elif family == 2:  # strongly correlated
                size = 1 + r.below(50000)
                damage = 60000 - size + r.below(100)
            elif family in (3, 4):  # all alike; seven shapes alike
                size = shape * BITS[c]
                damage = shape * (2000 // BITS[c])
            else:  # few values, many ties, often larger and worse
                size, damage = 100 * (1 + r.below(9)), 10 * r.below(9)
            unit.append((size, damage))
        units.append(unit)
    low = sum(min(s for s, _ in unit) for unit in units)
    high = sum(max(s for s, _ in unit) for unit in units)
    return units, low + (high - low) * r.below(101) // 100


def solve(units, budget, folder):
    """The least damage, or None when GLPK is not done in time."""
    lp, sol = os.path.join(folder, "k.lp"), os.path.join(folder, "k.sol")
    names = [(u, c) for u, unit in enumerate(units) for c in range(len(unit))]
    with open(lp, "w") as f:
        def total(which):
            return "\n".join(f" + {units[u][c][which]} x{u}_{c}" for u, c in names)
        f.write("Minimize\n d:" + total(1) + "\nSubject To\n s:" + total(0) + f" <= {budget}\n")
        for u, unit in enumerate(units):
            f.write(f" u{u}: " + " + ".join(f"x{u}_{c}" for c in range(len(unit))) + " = 1\n")
        f.write("Binary\n" + "\n".join(f" x{u}_{c}" for u, c in names) + "\nEnd\n")
    done = subprocess.run(["glpsol", "--lp", lp, "--write", sol, "--cuts", "--tmlim", "10"],
                          capture_output=True, text=True, check=True)
    if "TIME LIMIT EXCEEDED" in done.stdout:
        return None
    if "INTEGER OPTIMAL SOLUTION FOUND" not in done.stdout:
        raise RuntimeError(done.stdout)
    # "j N VALUE": the columns in order of first use, which is that of the objective;
    # the damage is added up here, in whole numbers.
    picked = [line.split() for line in open(sol) if line.startswith("j ")]
    chosen = [names[int(f[1]) - 1] for f in picked if round(float(f[2])) == 1]
    assert [u for u, _ in chosen] == list(range(len(units)))
    assert sum(units[u][c][0] for u, c in chosen) <= budget
    return sum(units[u][c][1] for u, c in chosen)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    version = subprocess.run(["glpsol", "--version"], capture_output=True, text=True).stdout
    print("# made by tests/data/gen_knap.py with", version.splitlines()[0])
    print("# seed\tunits\tbudget\tleast damage")
    with tempfile.TemporaryDirectory() as folder:
        seed = done = 0
        while done < count:
            seed += 1
            units, budget = instance(seed)
            least = solve(units, budget, folder)
            if least is None:
                print(f"# seed {seed}: GLPK was not done in 10 s", flush=True)
                continue
            print(seed, len(units), budget, least, sep="\t", flush=True)
            done += 1


if __name__ == "__main__":
    main()
