package cpu

import "github.com/gorgonia/moe/ops/backend"

var (
	formatsAVX2 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {34, dotQ8AVX2, decodeQ8AVX2},
			backend.Q4_0: {18, dotQ4AVX2, decodeQ4AVX2},
		},
		f16: blockKernels{64, dotF16AVX2, decodeF16AVX2},
	}
	formatsAVX512 = formatKernels{
		blocks: [...]blockKernels{
			backend.Q8_0: {34, dotQ8AVX512, decodeQ8AVX512},
			backend.Q4_0: {18, dotQ4AVX512, decodeQ4AVX512},
		},
		f16: blockKernels{64, dotF16AVX512, decodeF16AVX512},
	}
)
