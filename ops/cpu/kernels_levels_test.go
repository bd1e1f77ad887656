package cpu

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestKernelsOfEachLevel says which kernels a level lacks. Tests of these kernels pass over the level.
func TestKernelsOfEachLevel(t *testing.T) {
	lacking := map[string][]string{
		"cpu/avx2":       {"tileDot", "fewDot", "widenPanel", "formats.f16.rounded", "pairs"},
		"cpu/avx512":     {"tileDot", "fewDot", "widenPanel", "formats.blocks[0].rounded", "formats.f16.rounded", "pairs"},
		"cpu/avx512vnni": {"tileDot", "fewDot", "widenPanel", "formats.f16.rounded", "pairs"},
		"cpu/avx512bf16": {"widenPanel", "formats.f16.rounded", "pairs"},
		"cpu/neon": {"besideRows", "tileDot", "tileBesideF32", "tileBesideWidened", "beside", "fewF32", "fewWidened", "fewDot", "panels",
			"blas.beside", "formats.blocks[0].rounded", "formats.f16.rounded", "pairs"},
		"cpu/amxbf16": {"tileDot", "fewDot", "widenPanel", "formats.f16.rounded",
			"pairs.lines", "pairs.besideRows", "pairs.tileF32", "pairs.tileWidened", "pairs.tileBesideF32",
			"pairs.tileBesideWidened", "pairs.beside", "pairs.fewF32", "pairs.fewWidened", "pairs.dotF32", "pairs.axpyF32", "pairs.blas",
			"pairs.vectors", "pairs.widenPanel", "pairs.addScaled", "pairs.formats", "pairs.pairs"},
	}
	for _, v := range machineVariants() {
		want, known := lacking[v.name]
		if got := zeroFields(reflect.ValueOf(*v.k), ""); !known || !slices.Equal(got, want) {
			t.Errorf("%s lacks %v, want %v", v.name, got, want)
		}
	}
}

// TestRoundedStripsGoWithoutTiles holds each format's roundedKernels.strips to the strips that read rounded rows.
func TestRoundedStripsGoWithoutTiles(t *testing.T) {
	for _, v := range someVariants(t, hasFormats) {
		for i, f := range append(v.k.formats.blocks[:], v.k.formats.f16) {
			if strips := f.rounded.strips; strips > dotStrip || (strips > 0) != (f.rounded.dot != nil) {
				t.Errorf("%s, format %d: strips of up to %d rows are rounded, want up to %d at most, and none without a kernel", v.name, i, strips, dotStrip)
			}
		}
	}
}

// zeroFields names the fields of v that are not set, and of what these hold or point to.
func zeroFields(v reflect.Value, name string) (list []string) {
	switch kind := v.Kind(); {
	case v.IsZero():
		list = []string{name}
	case kind == reflect.Struct:
		for i := range v.NumField() {
			list = append(list, zeroFields(v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."))...)
		}
	case kind == reflect.Array:
		for i := range v.Len() {
			list = append(list, zeroFields(v.Index(i), fmt.Sprintf("%s[%d]", name, i))...)
		}
	case kind == reflect.Pointer:
		list = zeroFields(v.Elem(), name)
	}
	return list
}

// variantsWith are the machine's variants that have some kernels; there may be none.
func variantsWith(has func(k *kernels) bool) []simd {
	return slices.DeleteFunc(machineVariants(), func(s simd) bool { return !has(s.k) })
}

// variantsAndGo are the machine's variants that have some kernels, and those in plain Go.
func variantsAndGo(has func(k *kernels) bool) []simd { return append(variantsWith(has), goVariant) }

// someVariants are the machine's variants that have some kernels. Without one the test is skipped.
func someVariants(t testing.TB, has func(k *kernels) bool) []simd {
	t.Helper()
	list := variantsWith(has)
	if len(list) == 0 {
		t.Skip("this machine has no variant with these kernels")
	}
	return list
}

func hasAll(*kernels) bool         { return true }
func hasTileF32(k *kernels) bool   { return k.tileF32 != nil }
func hasFew(k *kernels) bool       { return k.fewF32 != nil }
func hasAxpy(k *kernels) bool      { return k.axpyF32 != nil }
func hasSwiGLU(k *kernels) bool    { return k.swiglu != nil }
func hasAddScaled(k *kernels) bool { return k.addScaled != nil }
func hasExperts(k *kernels) bool   { return hasSwiGLU(k) && hasAddScaled(k) }
func hasVectors(k *kernels) bool   { return k.vectors != nil }
func hasFormats(k *kernels) bool   { return k.formats != nil }
