package cpu

import "github.com/gorgonia/moe/ops/backend"

var formatsNEON = formatKernels{
	blocks: [...]blockKernels{
		backend.Q8_0: {bytes: 34, dot: dotQ8NEON, decode: decodeQ8NEON},
		backend.Q4_0: {bytes: 18, dot: dotQ4NEON, decode: decodeQ4NEON, rounded: roundedKernels{2, 12, 2, roundBlocksNEON, dotQ4RoundedNEON}},
	},
	f16: blockKernels{bytes: 64, dot: dotF16NEON, decode: decodeF16NEON},
}
