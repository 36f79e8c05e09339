#include "cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

#define XCR0_AVX 0x06u    /* XMM and YMM state */
#define XCR0_AVX512 0xe6u /* and opmask, ZMM0-15 upper halves, ZMM16-31 */

static uint32_t xcr0_read(void)
{
    uint32_t eax, edx;
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    (void)edx;
    return eax;
}

unsigned avvik__cpu_features(void)
{
    unsigned eax, ebx, ecx, edx, bits = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    const uint32_t xcr0 = xcr0_read();
    const unsigned has_fma = ecx & bit_FMA;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    if ((xcr0 & XCR0_AVX) == XCR0_AVX && (ebx & bit_AVX2) && has_fma)
        bits |= AVVIK_CPU_AVX2;
    const unsigned avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && (ebx & avx512) == avx512 && has_fma) {
        bits |= AVVIK_CPU_AVX512;
        if (ecx & bit_AVX512VBMI)
            bits |= AVVIK_CPU_AVX512VBMI;
    }
    return bits;
}
#else
unsigned avvik__cpu_features(void)
{
    return 0;
}
#endif
