/* AVVIK_UNROLL, before a loop with a known number of turns whose arrays have to become registers. Nothing under clang's
 * sanitizers, whose checks, unrolled, take it many minutes to compile. */
#ifndef AVVIK_UNROLL_H
#define AVVIK_UNROLL_H

#if defined(__clang__)
#if __has_feature(undefined_behavior_sanitizer) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define AVVIK_UNROLL
#else
#define AVVIK_UNROLL _Pragma("clang loop unroll(full)")
#endif
#else
#define AVVIK_UNROLL _Pragma("GCC unroll 64")
#endif

#endif
