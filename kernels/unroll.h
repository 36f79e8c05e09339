/* AVVIK_UNROLL, before a loop with a known number of turns whose arrays have to become registers. */
#ifndef AVVIK_UNROLL_H
#define AVVIK_UNROLL_H

#if defined(__clang__)
#define AVVIK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define AVVIK_UNROLL _Pragma("GCC unroll 64")
#endif

#endif
