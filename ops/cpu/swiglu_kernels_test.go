package cpu

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// swigluCases are gates and ups over the whole range of float32, dense where silu bends and where it vanishes.
func swigluCases(r *rand.Rand) (gates, ups []float32) {
	for v := -300.0; v < 150; v += 0.01 {
		gates = append(gates, float32(v))
	}
	for range 20000 {
		gates = append(gates, math.Float32frombits(r.Uint32()))
	}
	for range len(gates) {
		up := float32(r.NormFloat64())
		switch r.IntN(4) {
		case 0:
			up *= 1e37
		case 1:
			up *= 1e-37
		}
		ups = append(ups, up)
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, gate := range []float32{inf, -inf, nan, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32} {
		for _, up := range []float32{inf, -inf, nan, 0, 1, -1, math.MaxFloat32, -math.SmallestNonzeroFloat32} {
			gates, ups = append(gates, gate), append(ups, up)
		}
	}
	return gates, ups
}

// TestSwiGLUKernels holds the error to 4 units in the last place, or of the least subnormal where the result, or
// silu of a tiny gate, is less than that.
func TestSwiGLUKernels(t *testing.T) {
	forKernels(t, hasSwiGLU, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		gates, ups := swigluCases(r)
		n := len(gates) / k.lanes * k.lanes
		gate, up, out := guarded[float32](t, n, atEnd), guarded[float32](t, n, atEnd), guarded[float32](t, n, atEnd)
		copy(gate, gates[len(gates)-n:])
		copy(up, ups[len(gates)-n:])
		k.swiglu(&gate[0], &up[0], &out[0], 0)
		k.swiglu(&gate[0], &up[0], &out[0], n)
		worst := 0.0
		for i, got := range out {
			v, u := float64(gate[i]), float64(up[i])
			exact := silu64(v) * u
			switch {
			case math.IsInf(v, -1):
				exact = math.NaN()
			case v < -700 && math.IsInf(u, 0):
				exact = -u // silu is tiny, and 0 in float64, but not 0
			}
			want := float32(exact)
			nearLimit := math.Abs(exact) > math.MaxFloat32*(1-0x1p-20)
			switch infinite := math.IsInf(float64(want), 0) || math.IsInf(float64(got), 0); {
			case math.IsNaN(exact) && got != got, infinite && (got == want || nearLimit):
				continue
			case math.IsNaN(exact), got != got, infinite, want == 0 && got == 0 && math.Signbit(exact) != math.Signbit(float64(got)):
				t.Fatalf("silu(%v)·%v = %v, want %v", v, u, got, want)
			}
			size := float32(math.Abs(exact))
			unit := max(float64(size)-float64(math.Nextafter32(size, 0)), math.SmallestNonzeroFloat32)
			if math.Abs(v) < 0x1p-124 { // silu itself may be subnormal
				unit = max(unit, math.SmallestNonzeroFloat32*math.Abs(u))
			}
			worst = max(worst, math.Abs(float64(got)-exact)/unit)
		}
		if worst > 4 {
			t.Errorf("error of %v units in the last place, want at most 4", worst)
		}
		k.swiglu(&gate[0], &up[0], &gate[0], n) // in place
		for i := range out {
			if math.Float32bits(out[i]) != math.Float32bits(gate[i]) && out[i] == out[i] {
				t.Fatalf("in place: element %d is %v, want %v", i, gate[i], out[i])
			}
		}
		t.Logf("worst error: %.2f units in the last place", worst)
	})
}

// TestSwiGLUKernelsAgree holds the kernels of all levels, on whatever processor, to the same bits, all NaNs being equal.
func TestSwiGLUKernelsAgree(t *testing.T) {
	const want = 0x795a4a33
	forKernels(t, hasSwiGLU, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		const n = 1 << 16
		gates := fill(guarded[float32](t, n, atEnd), func() float32 { return 64*r.Float32() - 48 })
		for i := range gates[:n/4] {
			gates[i] = math.Float32frombits(r.Uint32())
		}
		ups := fill(guarded[float32](t, n, atEnd), func() float32 { return math.Float32frombits(r.Uint32()) })
		k.swiglu(&gates[0], &ups[0], &ups[0], n)
		sum := fnv.New32a()
		for _, x := range ups {
			if x != x {
				x = float32(math.NaN())
			}
			sum.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
		if got := sum.Sum32(); got != want {
			t.Errorf("the sum of all bits is %#x, want %#x", got, want)
		}
	})
}

func TestAddScaledKernels(t *testing.T) {
	forKernels(t, hasAddScaled, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, vectors := range []int{0, 1, 2, 5} {
			n := vectors * k.lanes
			x := fill(guarded[float32](t, max(n, 1), atEnd), func() float32 { return small(r) })
			got := fill(guarded[float32](t, max(n, 1), atEnd), func() float32 { return small(r) })
			want, a := slices.Clone(got), small(r)
			k.addScaled(&got[0], &x[0], a, n)
			goKernels.addScaled(&want[0], &x[0], a, n)
			if !slices.Equal(got, want) {
				t.Fatalf("%d elements: got %v, want %v", n, got, want)
			}
		}
	})
}
