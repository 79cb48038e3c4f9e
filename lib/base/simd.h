/*
 * Function multiversioning: a hot loop marked MPQ_CLONES is compiled for several
 * vector widths, and the fastest that the processor has is picked when the program
 * starts. The default build thus runs on any x86-64 (and, unmarked, on any other)
 * machine. Sanitizers do not know ifuncs: there the plain version is used.
 *
 * MPQ_CLONES is for static functions; one that other files call takes
 * MPQ_CLONES_EXTERN. clang up to 17 gives the function that picks a name of its own
 * (NAME.ifunc), which no other file finds: with clang these stay plain.
 */
#ifndef MPQ_BASE_SIMD_H
#define MPQ_BASE_SIMD_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MPQ_CLONES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MPQ_CLONES
#endif
#endif

#if !defined(MPQ_CLONES) && defined(__x86_64__) && defined(__linux__) &&               \
    (defined(__GNUC__) && (!defined(__clang__) || __clang_major__ >= 14))
#if !defined(__clang__) && __GNUC__ < 12 /* knows no x86-64 levels here */
#define MPQ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MPQ_CLONES                                                                     \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#elif !defined(MPQ_CLONES)
#define MPQ_CLONES
#endif

#ifdef __clang__
#define MPQ_CLONES_EXTERN
#else
#define MPQ_CLONES_EXTERN MPQ_CLONES
#endif

#endif
