package cpu

var (
	vectorsAVX2 = vectors{
		lanes: 8, step: 16,
		stream: streamAVX2, fence: fenceAVX2,
		f32: rowKernels[float32]{
			weighted: weightedF32AVX2, add: addF32AVX2, squares: squaresF32AVX2, norm: normF32AVX2, turn: turnF32AVX2,
			largest: largestF32AVX2, codes: codesF32AVX2, scores: scoresF32AVX2, mix: mixF32AVX2,
		},
		bf16: rowKernels[uint16]{
			weighted: weightedBF16AVX2, add: addBF16AVX2, squares: squaresBF16AVX2, norm: normBF16AVX2, turn: turnBF16AVX2,
			largest: largestBF16AVX2, codes: codesBF16AVX2, scores: scoresBF16AVX2, mix: mixBF16AVX2,
		},
		softmax: softmaxAVX2, heads: 2, angles: anglesAVX2,
	}
	vectorsAVX512 = vectors{
		lanes: 16, step: 32,
		stream: streamAVX512, fence: fenceAVX512,
		f32: rowKernels[float32]{
			weighted: weightedF32AVX512, add: addF32AVX512, squares: squaresF32AVX512, norm: normF32AVX512, turn: turnF32AVX512,
			largest: largestF32AVX512, codes: codesF32AVX512, scores: scoresF32AVX512, mix: mixF32AVX512,
		},
		bf16: rowKernels[uint16]{
			weighted: weightedBF16AVX512, add: addBF16AVX512, squares: squaresBF16AVX512, norm: normBF16AVX512, turn: turnBF16AVX512,
			largest: largestBF16AVX512, codes: codesBF16AVX512, scores: scoresBF16AVX512, mix: mixBF16AVX512,
		},
		softmax: softmaxAVX512, heads: 4, angles: anglesAVX512,
	}
)
