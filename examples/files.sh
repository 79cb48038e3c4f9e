#!/bin/sh
# files.sh INPUT...: the files whose bytes an input of an example is, a name in each line:
# a folder's, all parts of a split model, what stands beside a safetensors file, and what
# a list of tasks names, from its folder.
set -u
there() { for f; do if [ -f "$f" ]; then echo "$f"; fi; done; }
for input; do
    folder=$(dirname "$input")
    case $input in
    *-of-[0-9][0-9][0-9][0-9][0-9].gguf)
        there "${input%-?????-of-?????.gguf}"-?????-of-"${input##*-of-}" ;;
    *.safetensors)
        there "$input" "$folder/config.json" "$folder/tokenizer.json" ;;
    *.yaml | *.yml)
        there "$input"
        sed -n 's/^[- ]*\(file\|shots_from\): *\([^ #]*\).*/\2/p' "$input" | tr -d "\"'" |
            while read -r f; do
                case $f in /*) there "$f" ;; *) there "$folder/$f" ;; esac
            done ;;
    *)
        if [ -d "$input" ]; then there "$input"/*.json "$input"/*.safetensors; else there "$input"; fi ;;
    esac
done
