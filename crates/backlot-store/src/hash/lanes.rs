//! MD5 of several files at once: one file a SIMD lane, 16 lanes with AVX-512, 8 with AVX2.
//!
//! One MD5 is a chain of dependent steps that no processor can overlap; sixteen of them side by side are not. The module
//! only compresses whole 64-byte blocks of equally many bytes a lane; lengths, padding and the choice of lanes are
//! [`super::md5`]'s. This is the one place of the workspace with unsafe code: two calls behind run-time detection, and
//! the unaligned loads of blocks whose length is checked. Source: RFC 1321.

/// The state of one MD5.
pub(super) type State = [u32; 4];
/// The state of an MD5 of nothing.
pub(super) const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// floor(2^32 * |sin(i + 1)|), RFC 1321.
const K: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// The 64 steps, over any type with these operations. `$rotate!(value, amount)` takes a literal amount.
macro_rules! rounds {
    ($s:ident, $m:ident, $add:ident, $f:ident, $g:ident, $h:ident, $i:ident, $rotate:ident, $splat:ident) => {{
        let [mut a, mut b, mut c, mut d] = $s;
        macro_rules! step {
            ($fun:ident, $word:expr, $k:expr, $amount:literal) => {
                let sum = $add($add(a, $m[$word]), $add($splat(K[$k].cast_signed()), $fun(b, c, d)));
                a = d;
                d = c;
                c = b;
                b = $add(c, $rotate::<$amount>(sum));
            };
        }
        macro_rules! four {
            ($fun:ident, $n:expr, $scale:expr, $offset:expr, $s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
                step!($fun, ($n * $scale + $offset) % 16, $n, $s0);
                step!($fun, (($n + 1) * $scale + $offset) % 16, $n + 1, $s1);
                step!($fun, (($n + 2) * $scale + $offset) % 16, $n + 2, $s2);
                step!($fun, (($n + 3) * $scale + $offset) % 16, $n + 3, $s3);
            };
        }
        four!($f, 0, 1, 0, 7, 12, 17, 22);
        four!($f, 4, 1, 0, 7, 12, 17, 22);
        four!($f, 8, 1, 0, 7, 12, 17, 22);
        four!($f, 12, 1, 0, 7, 12, 17, 22);
        four!($g, 16, 5, 1, 5, 9, 14, 20);
        four!($g, 20, 5, 1, 5, 9, 14, 20);
        four!($g, 24, 5, 1, 5, 9, 14, 20);
        four!($g, 28, 5, 1, 5, 9, 14, 20);
        four!($h, 32, 3, 5, 4, 11, 16, 23);
        four!($h, 36, 3, 5, 4, 11, 16, 23);
        four!($h, 40, 3, 5, 4, 11, 16, 23);
        four!($h, 44, 3, 5, 4, 11, 16, 23);
        four!($i, 48, 7, 0, 6, 10, 15, 21);
        four!($i, 52, 7, 0, 6, 10, 15, 21);
        four!($i, 56, 7, 0, 6, 10, 15, 21);
        four!($i, 60, 7, 0, 6, 10, 15, 21);
        [$add($s[0], a), $add($s[1], b), $add($s[2], c), $add($s[3], d)]
    }};
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "SIMD loads and stores of checked length; reviewed as one piece"
)]
#[allow(
    clippy::wildcard_imports,
    reason = "the intrinsics of one architecture; not linted in tests"
)]
mod x86 {
    use super::{BLOCK, K, State};
    use core::arch::x86_64::*;

    /// Only called where [`super::width`] is 16.
    pub(super) fn run_avx512(states: &mut [State; 16], data: &[&[u8]; 16], blocks: usize) {
        // SAFETY: `width` is 16 only where AVX-512F was detected at run time.
        unsafe { avx512(states, data, blocks) }
    }

    /// Only called where [`super::width`] is 8.
    pub(super) fn run_avx2(states: &mut [State; 8], data: &[&[u8]; 8], blocks: usize) {
        // SAFETY: `width` is 8 only where AVX2 was detected at run time.
        unsafe { avx2(states, data, blocks) }
    }

    #[target_feature(enable = "avx512f")]
    #[expect(clippy::many_single_char_names, reason = "the names of RFC 1321")]
    fn avx512(states: &mut [State; 16], data: &[&[u8]; 16], blocks: usize) {
        #[target_feature(enable = "avx512f")]
        fn add(a: __m512i, b: __m512i) -> __m512i {
            _mm512_add_epi32(a, b)
        }
        #[target_feature(enable = "avx512f")]
        fn f(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0xca>(b, c, d)
        }
        #[target_feature(enable = "avx512f")]
        fn g(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0xe4>(b, c, d)
        }
        #[target_feature(enable = "avx512f")]
        fn h(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0x96>(b, c, d)
        }
        #[target_feature(enable = "avx512f")]
        fn i(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0x39>(b, c, d)
        }
        #[target_feature(enable = "avx512f")]
        fn rotate<const N: i32>(x: __m512i) -> __m512i {
            _mm512_rol_epi32::<N>(x)
        }
        #[target_feature(enable = "avx512f")]
        fn splat(k: i32) -> __m512i {
            _mm512_set1_epi32(k)
        }

        let column =
            |word: usize| -> [i32; 16] { core::array::from_fn(|lane| states[lane][word].cast_signed()) };
        let mut s: [__m512i; 4] = core::array::from_fn(|word| {
            let c = column(word);
            // SAFETY: `c` is 64 bytes long and unaligned loads are asked for.
            unsafe { _mm512_loadu_si512(c.as_ptr().cast()) }
        });
        for n in 0..blocks {
            let r: [__m512i; 16] = core::array::from_fn(|lane| {
                let block = &data[lane][n * BLOCK..(n + 1) * BLOCK];
                // SAFETY: the slice is exactly 64 bytes long.
                unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
            });
            let t: [__m512i; 16] = core::array::from_fn(|x| {
                let (low, high) = (r[x & !1], r[x | 1]);
                if x % 2 == 0 {
                    _mm512_unpacklo_epi32(low, high)
                } else {
                    _mm512_unpackhi_epi32(low, high)
                }
            });
            let u: [__m512i; 16] = core::array::from_fn(|x| {
                let base = x & !3;
                let (low, high) = (t[base + x % 4 / 2], t[base + 2 + x % 4 / 2]);
                if x % 2 == 0 {
                    _mm512_unpacklo_epi64(low, high)
                } else {
                    _mm512_unpackhi_epi64(low, high)
                }
            });
            let mut m = [_mm512_setzero_si512(); 16];
            for j in 0..4 {
                let even = (
                    _mm512_shuffle_i32x4::<0x88>(u[j], u[4 + j]),
                    _mm512_shuffle_i32x4::<0x88>(u[8 + j], u[12 + j]),
                );
                let odd = (
                    _mm512_shuffle_i32x4::<0xdd>(u[j], u[4 + j]),
                    _mm512_shuffle_i32x4::<0xdd>(u[8 + j], u[12 + j]),
                );
                m[j] = _mm512_shuffle_i32x4::<0x88>(even.0, even.1);
                m[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd.0, odd.1);
                m[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even.0, even.1);
                m[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd.0, odd.1);
            }
            s = rounds!(s, m, add, f, g, h, i, rotate, splat);
        }
        for (word, value) in s.into_iter().enumerate() {
            let mut c = [0i32; 16];
            // SAFETY: `c` is 64 bytes long and unaligned stores are asked for.
            unsafe { _mm512_storeu_si512(c.as_mut_ptr().cast(), value) };
            for (lane, value) in c.into_iter().enumerate() {
                states[lane][word] = value.cast_unsigned();
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[expect(clippy::many_single_char_names, reason = "the names of RFC 1321")]
    fn avx2(states: &mut [State; 8], data: &[&[u8]; 8], blocks: usize) {
        #[target_feature(enable = "avx2")]
        fn add(a: __m256i, b: __m256i) -> __m256i {
            _mm256_add_epi32(a, b)
        }
        #[target_feature(enable = "avx2")]
        fn f(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
            _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
        }
        #[target_feature(enable = "avx2")]
        fn g(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
            f(d, b, c)
        }
        #[target_feature(enable = "avx2")]
        fn h(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
            _mm256_xor_si256(b, _mm256_xor_si256(c, d))
        }
        #[target_feature(enable = "avx2")]
        fn i(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
            _mm256_xor_si256(c, _mm256_or_si256(b, _mm256_xor_si256(d, _mm256_set1_epi32(-1))))
        }
        #[target_feature(enable = "avx2")]
        fn rotate<const N: i32>(x: __m256i) -> __m256i {
            _mm256_or_si256(
                _mm256_sllv_epi32(x, _mm256_set1_epi32(N)),
                _mm256_srlv_epi32(x, _mm256_set1_epi32(32 - N)),
            )
        }
        #[target_feature(enable = "avx2")]
        fn splat(k: i32) -> __m256i {
            _mm256_set1_epi32(k)
        }

        let column =
            |word: usize| -> [i32; 8] { core::array::from_fn(|lane| states[lane][word].cast_signed()) };
        let mut s: [__m256i; 4] = core::array::from_fn(|word| {
            let c = column(word);
            // SAFETY: `c` is 32 bytes long and unaligned loads are asked for.
            unsafe { _mm256_loadu_si256(c.as_ptr().cast()) }
        });
        for n in 0..blocks {
            let mut m = [_mm256_setzero_si256(); 16];
            for half in 0..2 {
                let r: [__m256i; 8] = core::array::from_fn(|lane| {
                    let start = n * BLOCK + half * 32;
                    let block = &data[lane][start..start + 32];
                    // SAFETY: the slice is exactly 32 bytes long.
                    unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }
                });
                let t: [__m256i; 8] = core::array::from_fn(|x| {
                    let (low, high) = (r[x & !1], r[x | 1]);
                    if x % 2 == 0 {
                        _mm256_unpacklo_epi32(low, high)
                    } else {
                        _mm256_unpackhi_epi32(low, high)
                    }
                });
                let u: [__m256i; 8] = core::array::from_fn(|x| {
                    let base = x & !3;
                    let (low, high) = (t[base + x % 4 / 2], t[base + 2 + x % 4 / 2]);
                    if x % 2 == 0 {
                        _mm256_unpacklo_epi64(low, high)
                    } else {
                        _mm256_unpackhi_epi64(low, high)
                    }
                });
                for j in 0..4 {
                    m[half * 8 + j] = _mm256_permute2x128_si256::<0x20>(u[j], u[4 + j]);
                    m[half * 8 + 4 + j] = _mm256_permute2x128_si256::<0x31>(u[j], u[4 + j]);
                }
            }
            s = rounds!(s, m, add, f, g, h, i, rotate, splat);
        }
        for (word, value) in s.into_iter().enumerate() {
            let mut c = [0i32; 8];
            // SAFETY: `c` is 32 bytes long and unaligned stores are asked for.
            unsafe { _mm256_storeu_si256(c.as_mut_ptr().cast(), value) };
            for (lane, value) in c.into_iter().enumerate() {
                states[lane][word] = value.cast_unsigned();
            }
        }
    }
}

/// How many lanes this machine has: 16, 8, or 1 where there is no SIMD we use.
pub(super) fn width() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return 16;
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return 8;
        }
    }
    1
}

/// Compress `blocks` blocks of each lane. At most [`width`] lanes; every slice is at least that long.
pub(super) fn compress(lanes: &mut [(&mut State, &[u8])], blocks: usize) {
    #[cfg(target_arch = "x86_64")]
    if lanes.len() > 1 {
        match width() {
            16 => return spread::<16>(lanes, blocks, x86::run_avx512),
            8 => return spread::<8>(lanes, blocks, x86::run_avx2),
            _ => {}
        }
    }
    for (state, data) in lanes {
        let (whole, _) = data[..blocks * BLOCK].as_chunks::<BLOCK>();
        md5::block_api::compress(state, whole);
    }
}

/// Fill up unused lanes with the first one's data, and forget what they give.
#[cfg(target_arch = "x86_64")]
fn spread<const N: usize>(
    lanes: &mut [(&mut State, &[u8])],
    blocks: usize,
    run: fn(&mut [State; N], &[&[u8]; N], usize),
) {
    let mut states = [START; N];
    let mut data = [lanes[0].1; N];
    for (position, (state, bytes)) in lanes.iter().enumerate() {
        states[position] = **state;
        data[position] = bytes;
    }
    run(&mut states, &data, blocks);
    for ((state, _), new) in lanes.iter_mut().zip(states) {
        **state = new;
    }
}
