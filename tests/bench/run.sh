#!/bin/sh
# All measured figures, one after the other; README.md beside this file says what they
# mean and what they were. Takes some minutes, with PEER (a folder with llama.cpp's
# programs in bin/) about an hour. On a machine that does nothing else.
#
# usage: run.sh [PEER]        ONLY="nsds stats" for some of the parts
#
# Python with numpy and gguf is looked for in $PYTHON, then a folder build/venv is made.
# SmolLM2 is fetched into build/models. Its encoders are compared with importance from
# $TEXT (by default examples/tiny-model's) and KL on $KL_TEXT (by default TEXT's second
# half, and its first half for the importance), KL_CHUNKS=20 chunks of 512 tokens.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
peer=${1:-}
text=${TEXT:-examples/tiny-model/text.calib.txt}
tiny=examples/tiny-model/tiny-model.gguf
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, gguf' 2>/dev/null; then
    python=$top/build/venv/bin/python
    [ -x "$python" ] || python3 -m venv build/venv
    "$python" -c 'import numpy, gguf' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check numpy gguf
fi
smollm2=$(PYTHON=$python sh examples/fetch-model.sh build/models smollm2)
PATH=$top/bin:$PATH
export PATH

part() { # part NAME TITLE: should it run?
    case " ${ONLY:-$1} " in *" $1 "*) printf '\n== %s\n' "$2" ;; *) return 1 ;; esac
}
printf '%s threads' "$(getconf _NPROCESSORS_ONLN)"
for f in avx2 avx512f; do
    if grep -qw $f /proc/cpuinfo 2>/dev/null; then printf ', %s' $f; fi
done
echo

if part nsds "NSDS of SmolLM2 beside numpy: plain, and in the same factored forms"; then
    OPENBLAS_NUM_THREADS=$(getconf _NPROCESSORS_ONLN) \
        "$python" tests/bench/nsds.py "$smollm2" --bin bin
fi
if part stats "mpq-stats without spectrum; memory of all of it"; then
    sh tests/bench/stats.sh "$smollm2"
fi
if part knap "exact allocation: 1,000 units x 12 types"; then
    sh tests/bench/knap.sh
fi
if part pack "mpq-pack: speed beside llama-quantize, memory"; then
    sh tests/bench/pack.sh "$peer"
fi
if part encoder "encoders beside llama-quantize: squared error, KL divergence"; then
    if [ -n "$peer" ]; then
        encoder() { # encoder MODEL TEXT OPTION...
            echo "$*"
            "$python" tests/bench/encoder.py "$peer" "$@" --bin bin --chunks 40 \
                --kl-chunks "${KL_CHUNKS:-20}" -j "$(getconf _NPROCESSORS_ONLN)"
        }
        encoder "$tiny" examples/tiny-model/text.calib.txt
        for dither in "" "--dither=1"; do
            # shellcheck disable=SC2086 # nothing, or one word
            encoder "$smollm2" "$text" ${KL_TEXT:+"--kl-text=$KL_TEXT"} $dither
        done
    else
        echo "skipped: needs PEER=DIR, a folder with llama.cpp's programs in bin/"
    fi
fi
if part containers "checkpoints decoded by the packages that define them"; then
    # CONTAINERS_PYTHON: one that has them; MODEL_FOLDER: another model
    if "${CONTAINERS_PYTHON:-$python}" -c 'import compressed_tensors, gptqmodel' 2>/dev/null; then
        "${CONTAINERS_PYTHON:-$python}" tests/bench/containers.py \
            "${MODEL_FOLDER:-examples/tiny-model}" --bin bin
    else
        echo "skipped: needs a Python with compressed-tensors and gptqmodel"
    fi
fi
if part eval "mpq-eval beside llama-perplexity: figures, speed; memory"; then
    # EVAL_MODELS: further GGUF files; TASK: questions of multiple choice (JSONL)
    # shellcheck disable=SC2086 # a list of files
    OPENBLAS_NUM_THREADS=$(getconf _NPROCESSORS_ONLN) \
        "$python" tests/bench/eval.py "${peer:--}" "$smollm2" ${EVAL_MODELS:-} --bin bin \
        --text "$text" ${TASK:+"--task=$TASK"}
fi
if part each "mpq-eval --each: seconds of each unit, and of the whole probe"; then
    OPENBLAS_NUM_THREADS=1 "$python" tests/bench/each.py "$smollm2" --bin bin --text "$text"
fi
# Hours, so only when asked for by name: BEST_MODEL: an F16 file; CALIB, KL_TEXT: texts;
# SIZES=78M,84M; TEXTS, BEST_TASKS: further texts and questions; BEST_WORK: a folder that
# keeps what was measured.
case " ${ONLY:-} " in *" best "*)
    printf '\n== %s\n' "the best file at a size beside llama-quantize's"
    if [ -n "$peer" ] && [ -n "${BEST_MODEL:-}" ] && [ -n "${KL_TEXT:-}" ]; then
        "$python" tests/bench/best.py "$peer" "$BEST_MODEL" "${CALIB:-$text}" "$KL_TEXT" \
            "${BEST_WORK:-build/best}" ${SIZES:+"--sizes=$SIZES"} ${TEXTS:+"--texts=$TEXTS"} \
            ${BEST_TASKS:+"--tasks=$BEST_TASKS" --controls}
    else
        echo "skipped: needs PEER=DIR, BEST_MODEL=FILE and KL_TEXT=FILE"
    fi ;;
esac
if part tokens "mpq-eval --tokens beside llama-tokenize: ids, speed"; then
    if [ -n "$peer" ]; then
        # TOKEN_TEXT: a folder of texts; TASKS: one of questions (JSONL)
        # shellcheck disable=SC2086 # a list of files
        "$python" tests/bench/tokens.py "$peer" "$tiny" "$smollm2" ${EVAL_MODELS:-} \
            --bin bin --text "${TOKEN_TEXT:-$text}" ${TASKS:+"--tasks=$TASKS"}
    else
        echo "skipped: needs PEER=DIR, a folder with llama.cpp's programs in bin/"
    fi
fi
