package cpu

import "github.com/gorgonia/moe/ops/backend"

var (
	formatsAVX2 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {bytes: 34, dot: dotQ8AVX2, decode: decodeQ8AVX2, rounded: roundedKernels{2, 16, roundBlocksAVX2, dotQ8RoundedAVX2}},
			backend.Q4_0: {bytes: 18, dot: dotQ4AVX2, decode: decodeQ4AVX2, rounded: roundedKernels{2, 16, roundBlocksAVX2, dotQ4RoundedAVX2}},
		},
		f16: blockKernels{bytes: 64, dot: dotF16AVX2, decode: decodeF16AVX2},
	}
	formatsAVX512 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {bytes: 34, dot: dotQ8AVX512, decode: decodeQ8AVX512},
			// One row waits for memory if x is rounded; more rows are as fast or faster with vectors twice as wide.
			backend.Q4_0: {bytes: 18, dot: dotQ4AVX512, decode: decodeQ4AVX512, rounded: roundedKernels{2, 1, roundBlocksAVX2, dotQ4RoundedAVX2}},
		},
		f16: blockKernels{bytes: 64, dot: dotF16AVX512, decode: decodeF16AVX512},
	}
)
