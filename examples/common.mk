# What the examples share: where things lie, probes in parts, the plans and what they are
# held against, packing, measuring, the report. An example sets these, then includes this:
#
#   inputs    files whose contents decide what is measured, and
#   options   words that do: both name the folder, so that nothing stale is ever met
#   label     the rest that plans depend on
#   budget    the budget as mpq-alloc takes it
#   method    the plan that is made; further plans of the example in
#   others
#   damage    the table of scores or damages that the controls are made from
#   probe     options of mpq-eval --each, which reads probe_inputs
#   damages   what `make probes` makes, where that is not damage itself
#   packer    the method of mpq-pack (QUANTIZER unless set)
#   pack      its options, and the files it reads, pack_inputs
#   measure   options of mpq-eval for packed files, which reads measure_inputs, and
#   finals    files of the user's that nothing else has read
#   metrics   what is reported of that; by the first plans are compared
#   text_name what mpq-eval calls the text, where a task is measured by divergence too
#   foreign   plans whose predicted damage is not in the units of damage

top  := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
tiny := $(top)/examples/tiny-model
is_tiny = $(filter $(tiny)/%,$(MODEL))
# Files that come with the tiny model, for it alone; what to ask for with another.
shipped = $(if $(is_tiny),$(addprefix $(tiny)/,$1),$(error $2))

MODEL        ?= $(tiny)/tiny-model.gguf
CONTROLS     ?= uniform random inverted
RANDOM_SEEDS ?= $(if $(is_tiny),10,3)
SHARDS       ?= 1
WORK         ?= work
BIN          ?= $(top)/bin

export PATH := $(BIN):$(PATH)
comma := ,

packer ?= $(QUANTIZER)

# The types intB are held by the native container alone.
native  := $(findstring int,$(TYPES))
kind    := $(if $(native),safetensors,gguf)
runtime := $(if $(native),--runtime native)

.PHONY: all help probes report clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

help:
	@awk '!/^#/ { exit } { sub(/^# ?/, ""); print }' $(firstword $(MAKEFILE_LIST))
	@echo; echo 'Paths are relative to this folder, or absolute.'

# --- where: W for what is learned, S for plans and packed files, M for what they come to --
# The names tell contents apart, so a user's file that is merely newer makes nothing anew:
# it stands behind the bar of a rule.

n_layer = $(shell PATH='$(PATH)' mpq-stats --only moments '$(MODEL)' | sed -n 's/^##file.* n_layer=\([0-9]*\).*/\1/p')
sum = $(shell { sh $(top)/examples/files.sh $1 | while read -r f; do cksum <"$$f"; done; echo '$(subst ',,$2)'; } | cksum | cut -d' ' -f1)

ifeq ($(filter help,$(MAKECMDGOALS)),)
# What is wrong with the variables is said before any work is done.
$(if $(word 2,$(MODEL))$(shell test -r '$(MODEL)' && echo ok),,$(error $(MODEL): cannot be read (paths are relative to $(CURDIR))))
$(if $(budget),)
$(foreach v,MODEL CALIB TASK TEXT EVAL EVAL_TEXT OUT WORK SIZE BITS SHARDS RANDOM_SEEDS,\
    $(if $(word 2,$($v))$(findstring ',$($v)),$(error $v: a blank or quote in '$($v)', which make cannot take)))
$(foreach f,$(inputs) $(finals),$(if $(shell test -r '$f' && echo ok),,$(error $f: cannot be read (paths are relative to $(CURDIR)))))
$(foreach f,$(inputs) $(finals),$(if $(shell test '$f' -ef '$(OUT)' && echo same),$(error OUT=$(OUT): is read by this, and would be lost)))
$(if $(shell test ! -e '$(OUT)' -o -f '$(OUT)' && test -w '$(dir $(OUT))' && echo ok),,$(error OUT=$(OUT): no regular file, or in a folder that cannot be written))
$(foreach f,$(inputs) $(finals),$(if $(shell test -d '$f' && ! test -e '$f/config.json' && echo folder),$(error $f: a folder)))
$(foreach q,$(QUANTIZER) $(CHOOSE),$(if $(filter rtn hqq awq gptq,$q),,$(error $q: a quantizer is one of rtn hqq awq gptq)))
$(foreach c,$(CONTROLS),$(if $(filter uniform random inverted,$c),,$(error CONTROLS: $c is none of uniform random inverted)))
$(if $(and $(SIZE),$(filter command environment,$(firstword $(origin BITS)))),$(error SIZE and BITS: one budget))
$(if $(shell test '$(RANDOM_SEEDS)' -ge 1 2>/dev/null && echo ok),,$(error RANDOM_SEEDS=$(RANDOM_SEEDS): how many random plans, from 1))
ifneq ($(SHARDS),1)
$(if $(shell test '$(SHARDS)' -ge 1 -a '$(SHARDS)' -le '$(n_layer)' 2>/dev/null && echo ok),,$(error SHARDS=$(SHARDS): from 1 to $(n_layer), the layers of the model))
endif
# What the metric is taken from must be in the problems, or it is missed at the very end.
key := $(if $(filter acc acc_norm,$(METRIC)),choices,$(if $(filter em,$(METRIC)),answer))
ifneq ($(and $(key),$(filter %.jsonl,$(EVAL))),)
$(if $(shell grep -l '"$(key)"' '$(EVAL)'),,$(error METRIC=$(METRIC): the problems of $(EVAL) have no "$(key)"))
endif
W := $(WORK)/$(call sum,$(inputs),$(options))
S := $W/$(label)
M := $S/$(call sum,$(finals),$(measure))
else
W := $(WORK)
S := $W/plans
M := $S
endif

# --- probes, in SHARDS parts ---------------------------------------------------------

measured := $(foreach k,$(shell seq 1 $(SHARDS)),$W/probe.$k-$(SHARDS).tsv)

probes: $(or $(damages),$(damage))

$(measured): $W/probe.%-$(SHARDS).tsv: $(probe_inputs)
	@mkdir -p $W
	mpq-eval $(probe) \
	    $(if $(filter-out 1,$(SHARDS)),-l $$(( ($* - 1) * $(n_layer) / $(SHARDS) ))-$$(( $* * $(n_layer) / $(SHARDS) - 1 ))) \
	    --resume $@.part '$(MODEL)'
	mv $@.part $@

# --- what weights alone tell: the data-free scores ------------------------------------

$W/stats.tsv:
	@mkdir -p $W
	mpq-stats -o $@ '$(MODEL)'

$W/scores.%.tsv: $W/stats.tsv
	mpq-score -m $* --by $(BY) -o $@ $<

# --- the controls: same bytes, made without the scores, or against them ---------------

seeds := $(if $(filter 1,$(RANDOM_SEEDS)),random,$(patsubst %,random.%,$(shell seq 1 $(RANDOM_SEEDS))))
controls := $(foreach c,$(CONTROLS),$(if $(filter random,$c),$(seeds),$c))
plans := $(method) $(others) $(controls)

$(controls:%=$S/plan.%): $S/plan.%: $(damage) $S/plan.$(firstword $(method))
	mpq-alloc -q $(budget) $(runtime) -t $(TYPES) -m $(basename $*) \
	    --seed $(or $(patsubst .%,%,$(suffix $*)),1) -o $@ $<

# --- packed and measured --------------------------------------------------------------

$S/%.$(kind): $S/plan.% $(pack_inputs)
	mpq-pack -p $< $(native:%=-f safetensors) -m $(packer) $(pack) -o $@ '$(MODEL)'

$M/%.eval: $S/%.$(kind) $(measure_inputs) | $(finals)
	@mkdir -p $M
	mpq-eval $(measure) -o $@ $<

# Made anew each time, since it may be about other plans or metrics than before.
$M/report.tsv: $(plans:%=$M/%.eval) FORCE
	@awk -f $(top)/examples/report.awk -v metrics='$(metrics)' -v foreign='$(foreign)' \
	    -v method='$(if $(findstring --per-item,$(measure)),$(method))' -v text='$(text_name)' \
	    $(foreach p,$(plans),plan=$p bytes=$$(wc -c <$S/$p.$(kind)) $S/plan.$p $M/$p.eval) >$@

report: $M/report.tsv
	@cat $<

# The table as people read it.
show = echo; column -t -s "$$(printf '\t')" $M/report.tsv 2>/dev/null || cat $M/report.tsv

# The packed plan comes out, and with it what it is worth: never in silence.
define ship
@$(show)
@cp $S/$(method).$(kind) '$(OUT).part' && mv '$(OUT).part' '$(OUT)'
@awk -f $(top)/examples/verdict.awk -v out='$(OUT)' $M/report.tsv
endef

clean:
	rm -rf $W
