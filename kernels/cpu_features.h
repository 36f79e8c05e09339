#ifndef AVVIK_CPU_FEATURES_H
#define AVVIK_CPU_FEATURES_H

/* What a kernel variant needs. A bit is set only if both the CPU has the instructions (cpuid) and the operating system
 * saves their registers (XCR0). */
enum avvik__cpu_bits {
    AVVIK_CPU_AVX2 = 1,      /* AVX2 and FMA */
    AVVIK_CPU_AVX512 = 2,    /* AVX-512 F, DQ, BW and VL, and FMA */
    AVVIK_CPU_AVX512VBMI = 4 /* AVX-512 VBMI */
};

/* The bits of the machine this runs on. Thread-safe, no state. */
unsigned avvik__cpu_features(void);

#endif
