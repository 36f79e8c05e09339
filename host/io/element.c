#include "element.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int avvik__element_of(hid_t type)
{
    int element = AVVIK_ELEMENT_NONE;
    const H5T_class_t class = H5Tget_class(type);
    if (class == H5T_ENUM) {
        const hid_t base = H5Tget_super(type);
        element = base < 0 ? AVVIK_ELEMENT_NONE : avvik__element_of(base);
        if (base >= 0)
            H5Tclose(base);
        return element;
    }
    const size_t size = H5Tget_size(type);
    const H5T_order_t order = H5Tget_order(type);
    if ((class != H5T_INTEGER && class != H5T_FLOAT) || (order != H5T_ORDER_LE && order != H5T_ORDER_BE))
        return element;
    if (class == H5T_INTEGER) {
        if (H5Tget_precision(type) != 8 * size || H5Tget_offset(type) != 0)
            return element;
        const int is_signed = H5Tget_sign(type) != H5T_SGN_NONE;
        switch (size) {
        case 1: element = is_signed ? AVVIK_ELEMENT_I8 : AVVIK_ELEMENT_U8; break;
        case 2: element = is_signed ? AVVIK_ELEMENT_I16 : AVVIK_ELEMENT_U16; break;
        case 4: element = is_signed ? AVVIK_ELEMENT_I32 : AVVIK_ELEMENT_U32; break;
        case 8: element = is_signed ? AVVIK_ELEMENT_I64 : AVVIK_ELEMENT_U64; break;
        default: return element;
        }
    } else if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0) {
        element = AVVIK_ELEMENT_F32;
    } else if (H5Tequal(type, H5T_NATIVE_DOUBLE) > 0) { /* the others HDF5 rounds in a way of its own near FLT_MAX */
        element = AVVIK_ELEMENT_F64;
    } else {
        return element;
    }
    const H5T_order_t native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? H5T_ORDER_LE : H5T_ORDER_BE;
    return element + (size > 1 && order != native ? AVVIK_ELEMENT_SWAPPED : 0);
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* HDF5 compares with FLT_MAX before it rounds. By the bits, because gcc does not vectorise a comparison of doubles. */
static inline float float_of_double(int64_t bits)
{
    const int64_t largest = 0x47efffffe0000000, infinity = 0x7ff0000000000000, size = bits & INT64_MAX;
    return (float)double_of_bits((uint64_t)(size > largest && size < infinity ? (bits & INT64_MIN) | infinity : bits));
}

static inline uint64_t long_at(const char *place, int is_swapped)
{
    uint64_t x;
    memcpy(&x, place, sizeof x);
    return is_swapped ? __builtin_bswap64(x) : x;
}

#define LONGS_AT_ONCE 512

/* 64-bit integers, for which vectors have no conversion before AVX-512. Below 2^51 (and from -2^51 on) a number is
 * placed into the low bits of a double that is 2^52 or 1.5 * 2^52, which is then subtracted: exact, so that the float
 * is rounded once, as from the integer itself. A run with larger numbers is converted one by one. */
static inline __attribute__((always_inline)) void longs_convert(const char *from, size_t stride, size_t n,
                                                                float *restrict to, int is_signed, int is_swapped)
{
    const uint64_t half = is_signed ? (uint64_t)1 << 51 : 0, exponent = (uint64_t)0x433 << 52;
    const double base = is_signed ? 0x1.8p52 : 0x1p52;
    for (size_t done = 0; done < n; done += LONGS_AT_ONCE, from += LONGS_AT_ONCE * stride, to += LONGS_AT_ONCE) {
        const size_t here = n - done < LONGS_AT_ONCE ? n - done : LONGS_AT_ONCE;
        uint64_t all = 0;
        for (size_t i = 0; stride == sizeof all && i < here; i++)
            all |= long_at(from + i * stride, is_swapped) + half;
        if (stride == sizeof all && all >> 52 == 0)
            for (size_t i = 0; i < here; i++)
                to[i] = (float)(double_of_bits(long_at(from + i * stride, is_swapped) + half + exponent) - base);
        else
            for (size_t i = 0; i < here; i++) {
                const uint64_t x = long_at(from + i * stride, is_swapped), top = is_signed ? 0 : x >> 63;
                /* A top bit is moved away, and the bit that falls out kept where it still decides the rounding. */
                to[i] = (float)(int64_t)(x >> top | (x & top)) * (float)(1 + (int)top);
            }
    }
}

/* One loop a type, whose stride is a constant where elements lie side by side. */
#define DEFINE_LOOP(name, type, swapped, expression)                                                                   \
    static inline                                                                                                      \
        __attribute__((always_inline)) void loop_##name(const char *from, size_t stride, size_t n, float *restrict to) \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                               \
            type x;                                                                                                    \
            memcpy(&x, from + i * stride, sizeof x);                                                                   \
            swapped;                                                                                                   \
            to[i] = expression;                                                                                        \
        }                                                                                                              \
    }
#define DEFINE_LONGS(name, is_signed, is_swapped)                                                                      \
    static inline                                                                                                      \
        __attribute__((always_inline)) void loop_##name(const char *from, size_t stride, size_t n, float *restrict to) \
    {                                                                                                                  \
        longs_convert(from, stride, n, to, is_signed, is_swapped);                                                     \
    }

DEFINE_LOOP(i8, int8_t, , (float)x)
DEFINE_LOOP(u8, uint8_t, , (float)x)
DEFINE_LOOP(i16, int16_t, , (float)x)
DEFINE_LOOP(u16, uint16_t, , (float)x)
DEFINE_LOOP(i32, int32_t, , (float)x)
DEFINE_LOOP(u32, uint32_t, , (float)x)
DEFINE_LONGS(i64, 1, 0)
DEFINE_LONGS(u64, 0, 0)
DEFINE_LOOP(f32, float, , x)
DEFINE_LOOP(f64, int64_t, , float_of_double(x))
DEFINE_LOOP(i16_swapped, uint16_t, x = __builtin_bswap16(x), (float)(int16_t)x)
DEFINE_LOOP(u16_swapped, uint16_t, x = __builtin_bswap16(x), (float)x)
DEFINE_LOOP(i32_swapped, uint32_t, x = __builtin_bswap32(x), (float)(int32_t)x)
DEFINE_LOOP(u32_swapped, uint32_t, x = __builtin_bswap32(x), (float)x)
DEFINE_LONGS(i64_swapped, 1, 1)
DEFINE_LONGS(u64_swapped, 0, 1)
DEFINE_LOOP(f32_swapped, uint32_t, x = __builtin_bswap32(x), float_of_bits(x))

typedef void convert_fn(const char *from, size_t stride, size_t n, float *restrict to);

/* Each loop for one instruction set, which the compiler vectorises it for, and the table of them. */
#define DEFINE_ONE(set, target, name, bytes)                                                                           \
    target static void convert_##name##_##set(const char *from, size_t stride, size_t n, float *restrict to)           \
    {                                                                                                                  \
        if (stride == (bytes))                                                                                         \
            loop_##name(from, bytes, n, to);                                                                           \
        else                                                                                                           \
            loop_##name(from, stride, n, to);                                                                          \
    }
#define DEFINE_ALL(set, target)                                                                                        \
    DEFINE_ONE(set, target, i8, 1)                                                                                     \
    DEFINE_ONE(set, target, u8, 1)                                                                                     \
    DEFINE_ONE(set, target, i16, 2)                                                                                    \
    DEFINE_ONE(set, target, u16, 2)                                                                                    \
    DEFINE_ONE(set, target, i32, 4)                                                                                    \
    DEFINE_ONE(set, target, u32, 4)                                                                                    \
    DEFINE_ONE(set, target, i64, 8)                                                                                    \
    DEFINE_ONE(set, target, u64, 8)                                                                                    \
    DEFINE_ONE(set, target, f32, 4)                                                                                    \
    DEFINE_ONE(set, target, f64, 8)                                                                                    \
    DEFINE_ONE(set, target, i16_swapped, 2)                                                                            \
    DEFINE_ONE(set, target, u16_swapped, 2)                                                                            \
    DEFINE_ONE(set, target, i32_swapped, 4)                                                                            \
    DEFINE_ONE(set, target, u32_swapped, 4)                                                                            \
    DEFINE_ONE(set, target, i64_swapped, 8)                                                                            \
    DEFINE_ONE(set, target, u64_swapped, 8)                                                                            \
    DEFINE_ONE(set, target, f32_swapped, 4)                                                                            \
    static convert_fn *const converters_##set[2][AVVIK_ELEMENT_KINDS] = {                                              \
        {NULL, convert_i8_##set, convert_u8_##set, convert_i16_##set, convert_u16_##set, convert_i32_##set,            \
         convert_u32_##set, convert_i64_##set, convert_u64_##set, convert_f32_##set, convert_f64_##set},               \
        {NULL, convert_i8_##set, convert_u8_##set, convert_i16_swapped_##set, convert_u16_swapped_##set,               \
         convert_i32_swapped_##set, convert_u32_swapped_##set, convert_i64_swapped_##set, convert_u64_swapped_##set,   \
         convert_f32_swapped_##set}};

DEFINE_ALL(plain, )
#if defined(__x86_64__)
DEFINE_ALL(avx2, __attribute__((target("avx2"))))
#endif

void avvik__element_convert(int element, const void *from, size_t stride, size_t n, float *to)
{
    convert_fn *const(*converters)[AVVIK_ELEMENT_KINDS] = converters_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        converters = converters_avx2;
#endif
    convert_fn *convert = converters[element / AVVIK_ELEMENT_SWAPPED][element % AVVIK_ELEMENT_SWAPPED];
    assert(convert != NULL);
    convert(from, stride, n, to);
}
