package cpu

// levels are the values of levelVariable.
var levels = []string{"go", "neon"}

var (
	neon = kernels{
		lanes: 4, rows: 6, callRows: 6, part: partSteps, streamPart: partSteps, reading: 8,
		full: 3, prefetch: 1, places: 1, lines: 1, streamRows: 4,
		tileF32: tileF32NEON, tileWidened: tileWidenedNEON,
		dotF32: dotF32NEON, dotWidened: dotWidenedNEON, dotRows: 3,
		axpyF32: axpyF32NEON, blas: &blasNEON,
		transpose: transposeNEON, widen: widenNEON, narrow: narrowNEON, widenPanel: widenPanelNEON,
		swiglu: swigluNEON, addScaled: addScaledNEON, formats: &formatsNEON, vectors: &vectorsNEON,
	}
	blasNEON = blasTiles{6, 16, false, tileBLASNEON, copyPanelNEON, transposePanelNEON}
)

// machineVariants are the levels of vector instructions that the CPU has, least first. Go itself asks for NEON.
func machineVariants() []simd { return []simd{{"cpu/neon", &neon, 10}} }
