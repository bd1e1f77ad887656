package cpu

var vectorsNEON = vectors{
	lanes: 4, step: 8,
	stream: streamNEON, fence: fenceNEON,
	f32: rowKernels[float32]{
		weighted: weightedF32NEON, add: addF32NEON, squares: squaresF32NEON, norm: normF32NEON, turn: turnF32NEON,
		largest: largestF32NEON, codes: codesF32NEON, scores: scoresF32NEON, mix: mixF32NEON,
	},
	bf16: rowKernels[uint16]{
		weighted: weightedBF16NEON, add: addBF16NEON, squares: squaresBF16NEON, norm: normBF16NEON, turn: turnBF16NEON,
		largest: largestBF16NEON, codes: codesBF16NEON, scores: scoresBF16NEON, mix: mixBF16NEON,
	},
	softmax: softmaxNEON, heads: 4, angles: anglesNEON,
}
