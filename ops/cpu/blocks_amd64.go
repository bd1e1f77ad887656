package cpu

import "github.com/gorgonia/moe/ops/backend"

var (
	formatsAVX2 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {bytes: 34, dot: dotQ8AVX2, decode: decodeQ8AVX2, rounded: roundedKernels{2, 16, 2, roundBlocksAVX2, dotQ8RoundedAVX2}},
			backend.Q4_0: {bytes: 18, dot: dotQ4AVX2, decode: decodeQ4AVX2, rounded: roundedKernels{2, 16, 2, roundBlocksAVX2, dotQ4RoundedAVX2}},
		},
		f16: blockKernels{bytes: 64, dot: dotF16AVX2, decode: decodeF16AVX2},
	}
	formatsAVX512 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {bytes: 34, dot: dotQ8AVX512, decode: decodeQ8AVX512},
			// One row waits for memory if x is rounded; more rows are as fast or faster with vectors twice as wide.
			backend.Q4_0: {bytes: 18, dot: dotQ4AVX512, decode: decodeQ4AVX512, rounded: roundedKernels{2, 1, 2, roundBlocksAVX2, dotQ4RoundedAVX2}},
		},
		f16: blockKernels{bytes: 64, dot: dotF16AVX512, decode: decodeF16AVX512},
	}
	formatsAVX512VNNI = withBytes(formatsAVX512)
)

// withBytes adds the kernels of dots of bytes, which are faster than those in float32 for all strips that do not go on tiles.
func withBytes(f formatKernels) formatKernels {
	f.blocks[backend.Q8_0].rounded = roundedKernels{4, 16, 4, roundBlocksAVX512VNNI, dotQ8RoundedAVX512VNNI}
	f.blocks[backend.Q4_0].rounded = roundedKernels{4, 16, 4, roundBlocksAVX512VNNI, dotQ4RoundedAVX512VNNI}
	return f
}
