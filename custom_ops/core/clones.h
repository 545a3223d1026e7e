// Code for several instruction sets, selected when the library is loaded.
//
// One library thus serves all machines of a cluster. Multiplications and
// additions are never fused (-ffp-contract=off), so that all clones give the
// same bits.

#ifndef KERAS_PSS_CORE_CLONES_H_
#define KERAS_PSS_CORE_CLONES_H_

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    defined(__linux__) && !defined(PSS_NO_CLONES)
#define PSS_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PSS_CLONES
#endif

#endif  // KERAS_PSS_CORE_CLONES_H_
