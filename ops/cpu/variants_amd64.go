package cpu

import "golang.org/x/sys/cpu"

//go:generate env GOWORK=off go -C ../../internal/asmgen run . -o ../../ops/cpu -peak ../peak

// levels are the values of levelVariable.
var levels = []string{"go", "avx2", "avx512", "avx512vnni", "avx512bf16", "amxbf16"}

var (
	avx2 = kernels{
		lanes: 8, rows: 6, callRows: 6, part: partSteps, streamPart: partSteps, reading: 8,
		full: 2, prefetch: 4, places: 4, lines: 1, besideRows: 32,
		tileF32: tileF32AVX2, tileWidened: tileWidenedAVX2,
		tileBesideF32: tileBesideF32AVX2, tileBesideWidened: tileBesideWidenedAVX2, beside: besideAVX2,
		fewF32: fewF32AVX2, fewWidened: fewWidenedAVX2, panels: [2]int{3, 2}, streamRows: 6,
		dotF32: dotF32AVX2, dotWidened: dotWidenedAVX2, dotRows: 2,
		axpyF32: axpyF32AVX2, blas: &blasAVX2,
		transpose: transposeAVX2, widen: widenAVX2, narrow: narrowAVX2,
		swiglu: swigluAVX2, addScaled: addScaledAVX2, formats: &formatsAVX2, vectors: &vectorsAVX2,
	}
	avx512 = kernels{
		lanes: 16, rows: 14, callRows: 14, part: partSteps, streamPart: partSteps, reading: 8,
		full: 14, prefetch: 4, places: 4, lines: 2, besideRows: 5,
		tileF32: tileF32AVX512, tileWidened: tileWidenedAVX512,
		tileBesideF32: tileBesideF32AVX512, tileBesideWidened: tileBesideWidenedAVX512, beside: besideAVX512,
		fewF32: fewF32AVX512, fewWidened: fewWidenedAVX512, panels: [2]int{4, 2}, streamRows: 4,
		dotF32: dotF32AVX512, dotWidened: dotWidenedAVX512, dotRows: 4,
		axpyF32: axpyF32AVX512, blas: &blasAVX512,
		transpose: transposeAVX512, widen: widenAVX512, narrow: narrowAVX512,
		swiglu: swigluAVX512, addScaled: addScaledAVX512, formats: &formatsAVX512, vectors: &vectorsAVX512,
	}
	blasAVX2   = blasTiles{4, 24, true, tileBLASAVX2, copyPanelAVX2, transposePanelAVX2}
	blasAVX512 = blasTiles{14, 32, true, tileBLASAVX512, copyPanelAVX512, transposeAVX512}
	avx512vnni = withFormats(avx512)
	avx512bf16 = withDots(avx512vnni)
	amxbf16    = withTiles(avx512vnni)
	amx        = kernels{
		// Its sums are the same however steps are cut into parts. A part of a copied strip has 64 KiB of a panel and 256 KiB of x.
		lanes: 16, rows: 32, callRows: unlimited, part: 512, streamPart: unlimited, reading: 64,
		full: unlimited, prefetch: 16, places: 4,
		tileDot: tileDotAMX, fewDot: fewDotAMX, panels: [2]int{2, 2}, streamRows: 16, // rows that a tile multiplies in the time of one
		dotWidened: dotWidenedAVX512, dotRows: 4,
		transpose: transposeAVX512, widen: widenAVX512, narrow: narrowAVX512,
		swiglu: swigluAVX512,
	}
)

// withFormats adds the kernels of dots of bytes, with which weights in blocks are multiplied.
func withFormats(k kernels) kernels {
	k.formats = &formatsAVX512VNNI
	return k
}

// withDots adds the kernels of dots of bfloat16.
func withDots(k kernels) kernels {
	k.tileDot, k.fewDot = tileDotAVX512BF16, fewDotAVX512BF16
	return k
}

// withTiles adds the kernels of AMX.
func withTiles(k kernels) kernels {
	k.pairs = &amx
	return k
}

// machineVariants are the levels of vector instructions that the CPU has and the operating system lets it use, least first.
func machineVariants() []simd {
	has := cpu.X86
	if !has.HasAVX2 || !has.HasFMA || !has.HasF16C {
		return nil
	}
	list := []simd{{"cpu/avx2", &avx2, 10}}
	if has.HasAVX512F {
		list = append(list, simd{"cpu/avx512", &avx512, 20})
		// What follows came after AVX-512 of bytes and its vectors of other lengths.
		if !has.HasAVX512BW || !has.HasAVX512VL || !has.HasAVX512VNNI {
			return list
		}
		list = append(list, simd{"cpu/avx512vnni", &avx512vnni, 25})
		if has.HasAVX512BF16 {
			list = append(list, simd{"cpu/avx512bf16", &avx512bf16, dotPriority(has.HasAMXBF16)})
		}
		if has.HasAMXTile && has.HasAMXBF16 && mayUseTiles() {
			list = append(list, simd{"cpu/amxbf16", &amxbf16, 40})
		}
	}
	return list
}

// dotPriority is the priority of the variant that multiplies bfloat16 by VDPBF16PS. An instruction does two products where a
// fused multiply-add does one, and on some CPUs (Zen 4) runs as often. Those that leave such work to matrix units run it half as
// often or less: there widening is as fast, or faster, and more exact.
func dotPriority(matrixUnits bool) int {
	if matrixUnits {
		return 15
	}
	return 30
}
