package cpu

// levels are the values of levelVariable.
var levels = []string{"go", "neon"}

var neon = kernels{
	lanes: 4, rows: 6, full: 3, prefetch: 1, places: 1, lines: 1,
	tileF32: tileF32NEON, tileWidened: tileWidenedNEON,
	dotF32: dotF32NEON, dotWidened: dotWidenedNEON, dotRows: 3,
	transpose: transposeNEON, widen: widenNEON, narrow: narrowNEON, widenPanel: widenPanelNEON,
}

// machineVariants are the levels of vector instructions that the CPU has, least first. Go itself asks for NEON.
func machineVariants() []simd { return []simd{{"cpu/neon", &neon, 10}} }
