/* What every fuzz target defines. It ends in a signal, or says nothing. */
#ifndef MPQ_FUZZ_REPLAY_H
#define MPQ_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
