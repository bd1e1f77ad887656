package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// forVectors runs a test for the vector kernels of both element types at every level that the machine has, with operands that end
// at a page that cannot be touched and with operands that begin behind one.
func forVectors(t *testing.T, f32 func(*testing.T, kernelTest[float32]), bf16 func(*testing.T, kernelTest[uint16])) {
	for _, s := range someVariants(t, hasVectors) {
		for _, atEnd := range []bool{true, false} {
			r := rand.New(rand.NewPCG(31, 32))
			v := s.k.vectors
			t.Run(fmt.Sprintf("%s/end=%v/f32", s.name, atEnd), func(t *testing.T) { f32(t, kernelTest[float32]{v, &v.f32, r, atEnd}) })
			t.Run(fmt.Sprintf("%s/end=%v/bf16", s.name, atEnd), func(t *testing.T) { bf16(t, kernelTest[uint16]{v, &v.bf16, r, atEnd}) })
		}
	}
}

type kernelTest[E row] struct {
	v     *vectors
	k     *rowKernels[E]
	r     *rand.Rand
	atEnd bool
}

// special are the numbers that sums and roundings can stumble over.
var special = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1)),
	math.SmallestNonzeroFloat32, -0x1p-127, math.MaxFloat32, -math.MaxFloat32, 1, 448, -0x1p-9, 464,
}

// row draws n elements, a few of them special if strange is set.
func (k kernelTest[E]) row(t *testing.T, n int, strange bool) []E {
	return fill(guarded[E](t, n, k.atEnd), func() E {
		if strange && k.r.IntN(8) == 0 {
			return rounded[E](special[k.r.IntN(len(special))])
		}
		return rounded[E](float32(k.r.NormFloat64()))
	})
}

// same fails if the numbers of two rows differ, all NaNs being equal.
func same[E row](t *testing.T, what string, got, want []E) {
	t.Helper()
	for i := range want {
		g, w := float(got[i]), float(want[i])
		if g != w && !(math.IsNaN(float64(g)) && math.IsNaN(float64(w))) || math.Signbit(float64(g)) != math.Signbit(float64(w)) && w == 0 {
			t.Fatalf("%s: element %d is %v, want %v", what, i, g, w)
		}
	}
}

func TestWeightedKernels(t *testing.T) { forVectors(t, testWeighted, testWeighted) }

func testWeighted[E row](t *testing.T, k kernelTest[E]) {
	size := int(unsafe.Sizeof(E(0)))
	for _, terms := range []int{0, 1, 2, 5} {
		for _, steps := range []int{1, 2, 3, 7} {
			for past := range 2 {
				n := steps * k.v.step
				if past == 1 && n*size%lineBytes != 0 {
					continue // the destination would not begin at a line
				}
				rows := k.row(t, 3*n, true)
				at, weights := make([]int, max(terms, 1)), make([]float32, max(terms, 1))
				next := make([]int, max(terms, 1))
				for i := range terms {
					next[i] = (i*5 - 7) * len(rows) * size // of which nothing is there, mostly
					at[i], weights[i] = i*2%3*n*size, float32(k.r.NormFloat64())
				}
				got, want := k.row(t, n, true), make([]E, n)
				for j := range want {
					var sum float32
					for i := range terms {
						sum += float32(weights[i] * float(rows[at[i]/size+j]))
					}
					want[j] = rounded[E](sum)
				}
				k.k.weighted(&got[0], &rows[0], &at[0], &next[0], &weights[0], terms, n, past)
				k.v.fence()
				same(t, fmt.Sprintf("%d terms of %d, past %d", terms, n, past), got, want)
			}
		}
	}
}

func TestStreamKernels(t *testing.T) {
	for _, s := range someVariants(t, hasVectors) {
		for _, atEnd := range []bool{true, false} {
			for _, lines := range []int{0, 1, 3, 4, 9} {
				from := fill(guarded[byte](t, max(lines, 1)*lineBytes, atEnd), func() byte { return byte(rand.Uint32()) })
				to := guarded[byte](t, max(lines, 1)*lineBytes, atEnd)
				s.k.vectors.stream(&to[0], &from[0], lines*lineBytes)
				s.k.vectors.fence()
				if n := lines * lineBytes; !slices.Equal(to[:n], from[:n]) || slices.ContainsFunc(to[n:], func(b byte) bool { return b != 0 }) {
					t.Errorf("%s: %d lines were not copied", s.name, lines)
				}
			}
		}
	}
}

func TestAddKernels(t *testing.T) { forVectors(t, testAdd, testAdd) }

func testAdd[E row](t *testing.T, k kernelTest[E]) {
	for _, steps := range []int{0, 1, 2, 4, 9} {
		n := steps * k.v.step
		a, b, got := k.row(t, max(n, 1), true), k.row(t, max(n, 1), true), k.row(t, max(n, 1), true)
		want := slices.Clone(got)
		for j := range n {
			want[j] = rounded[E](float(a[j]) + float(b[j]))
		}
		k.k.add(&got[0], &a[0], &b[0], n, 0)
		same(t, fmt.Sprintf("%d elements", n), got, want)
		if steps%4 == 0 && n > 0 {
			k.k.add(&a[0], &a[0], &b[0], n, 1)
			k.v.fence()
			same(t, fmt.Sprintf("%d elements in place, past the caches", n), a, want)
		}
	}
}

func TestNormKernels(t *testing.T) { forVectors(t, testNorm, testNorm) }

func testNorm[E row](t *testing.T, k kernelTest[E]) {
	for _, steps := range []int{0, 1, 2, 7} {
		for _, strange := range []bool{false, true} {
			n := steps * k.v.step
			x, got := k.row(t, max(n, 1), strange), k.row(t, max(n, 1), false)
			w := fill(guarded[float32](t, max(n, 1), k.atEnd), func() float32 { return float32(k.r.NormFloat64()) })
			factor := math.Exp(3 * k.r.NormFloat64())
			want := slices.Clone(got)
			for j := range n {
				if _, narrow := any(x[j]).(uint16); narrow {
					want[j] = rounded[E](float(x[j]) * float32(factor) * w[j])
				} else {
					want[j] = rounded[E](float32(float64(float(x[j])) * factor * float64(w[j])))
				}
			}
			for past := range 2 {
				if past == 1 && n*int(unsafe.Sizeof(got[0]))%lineBytes != 0 {
					continue // the destination would not begin at a line
				}
				fill(got[:n], func() E { return rounded[E](5) })
				k.k.norm(&got[0], &x[0], &w[0], factor, n, past)
				k.v.fence()
				same(t, fmt.Sprintf("%d elements, past %d", n, past), got, want)
			}
		}
	}
}

func TestSquaresKernels(t *testing.T) { forVectors(t, testSquares, testSquares) }

// testSquares has numbers whose squares are beyond float32, or below what it holds exactly, too.
func testSquares[E row](t *testing.T, k kernelTest[E]) {
	within := func(n int) float64 { return float64(n) * 0x1p-53 }
	if unsafe.Sizeof(E(0)) == 2 {
		within = func(int) float64 { return 0x1p-21 }
	}
	for _, steps := range []int{0, 1, 7, 8, 9, 16, 100} {
		for _, scale := range []float64{1, 0x1p-30, 0x1p-60, 0x1p-120, 0x1p-133, 0x1p61, 0x1p120, math.Inf(1), math.NaN(), 0} {
			n := steps * k.v.step
			x := fill(guarded[E](t, max(n, 1), k.atEnd), func() E { return rounded[E](float32(k.r.NormFloat64() * scale)) })
			if k.r.IntN(2) == 0 { // one of another size
				x[k.r.IntN(len(x))] = rounded[E](float32(k.r.NormFloat64()))
			}
			var want float64
			for j := range n {
				v := float64(float(x[j]))
				want += v * v
			}
			sum := k.k.squares(&x[0], n)
			if !(math.Abs(sum-want) <= within(n)*want) && !sameFloats([]float64{sum}, []float64{want}) {
				t.Fatalf("%d squares of numbers about %v: the sum is %v, want %v", n, scale, sum, want)
			}
		}
	}
}

func TestTurnKernels(t *testing.T) { forVectors(t, testTurn, testTurn) }

func testTurn[E row](t *testing.T, k kernelTest[E]) {
	for _, c := range []struct{ steps, rest int }{{0, 1}, {1, 0}, {1, 3}, {2, 0}, {5, 7}} {
		n := c.steps * k.v.step
		d := n + c.rest
		x, got := k.row(t, 2*d, true), k.row(t, 2*d, true)
		angles := fill(guarded[float64](t, 2*d, k.atEnd), func() float64 { return float64(float32(k.r.NormFloat64())) })
		cos, sin := angles[:d], angles[d:]
		want := slices.Clone(got)
		for i := range n {
			a, b := float64(float(x[i])), float64(float(x[d+i]))
			want[i] = rounded[E](float32(a*cos[i] - b*sin[i]))
			want[d+i] = rounded[E](float32(b*cos[i] + a*sin[i]))
		}
		for past := range 2 {
			if past == 1 && d*int(unsafe.Sizeof(got[0]))%lineBytes != 0 {
				continue // the destination's halves would not begin at lines
			}
			fill(got[:n], func() E { return rounded[E](5) })
			k.k.turn(&got[0], &x[0], &cos[0], &sin[0], d, n, past)
			k.v.fence()
			same(t, fmt.Sprintf("%d of %d pairs, past %d", n, d, past), got, want)
		}
	}
}

// TestAngleKernels holds them to the bits of plain Go.
func TestAngleKernels(t *testing.T) {
	forVectors(t, func(t *testing.T, k kernelTest[float32]) {
		for _, position := range []float64{0, 1, -1, 17, 4095, 131071, math.MaxInt32, math.MinInt32} {
			n := 6 * k.v.lanes
			frequency := fill(guarded[float64](t, n, k.atEnd), func() float64 { return float64(float32(math.Exp(-14 * k.r.Float64()))) })
			frequency[0] = 1
			cos, sin := guarded[float64](t, n, k.atEnd), guarded[float64](t, n, k.atEnd)
			k.v.angles(&cos[0], &sin[0], &frequency[0], position, n)
			r := turning{narrow: true, frequency: frequency}
			wantCos, wantSin := make([]float64, n), make([]float64, n)
			r.at(int32(position), 0, wantCos, wantSin)
			if !slices.Equal(cos, wantCos) || !slices.Equal(sin, wantSin) {
				t.Fatalf("position %v, frequencies %v: cosines %v, sines %v, want %v and %v", position, frequency, cos, sin, wantCos, wantSin)
			}
		}
	}, func(*testing.T, kernelTest[uint16]) {})
}

func TestCodeKernels(t *testing.T) { forVectors(t, testCodes, testCodes) }

func testCodes[E row](t *testing.T, k kernelTest[E]) {
	for _, c := range []struct{ steps, blocks int }{{0, 0}, {1, 1}, {2, 1}, {3, 5}, {8, 20}} {
		block := c.steps * k.v.step
		n := block * c.blocks
		x := k.row(t, max(n, 1), true)
		for i := range x { // all magnitudes
			if k.r.IntN(2) == 0 {
				x[i] = rounded[E](math.Float32frombits(k.r.Uint32()))
			}
		}
		scales := fill(guarded[float32](t, max(c.blocks, 1), k.atEnd), func() float32 {
			return []float32{1, 0.3, 0x1p-149, math.MaxFloat32}[k.r.IntN(4)]
		})
		got := fill(guarded[uint8](t, max(n, 1), k.atEnd), func() uint8 { return 0x55 })
		want := slices.Clone(got)
		for j := range n {
			want[j] = uint8(backend.ToF8E4M3(float(x[j]) / scales[j/block]))
		}
		k.k.codes(&got[0], &x[0], &scales[0], block, c.blocks)
		if !slices.Equal(got, want) {
			t.Fatalf("%d codes of scales %v: got %v, want %v", n, scales, got, want)
		}
		most := slices.Clone(scales)
		for j, e := range x[:n] {
			if m := float32(math.Abs(float64(float(e)))); m <= math.MaxFloat32 {
				most[j/block] = max(most[j/block], m)
			}
		}
		k.k.largest(&scales[0], &x[0], block, c.blocks)
		same(t, fmt.Sprintf("the largest of %d", n), scales, most)
	}
}

func TestScoreAndMixKernels(t *testing.T) { forVectors(t, testScores, testScores) }

// testScores has small whole numbers, whose sums are exact in whatever order.
func testScores[E row](t *testing.T, k kernelTest[E]) {
	size := int(unsafe.Sizeof(E(0)))
	for heads := 1; heads <= k.v.heads; heads++ {
		for _, steps := range []int{0, 1, 2, 5} {
			for _, positions := range []int{0, 1, 4, 8, 11} {
				d := steps * k.v.step
				kernelOrder := func(rows []float32, ld int) []float32 { // of q and out
					rows = slices.Clone(rows)
					for i := 0; size == 2 && d > 0 && i+d <= len(rows); i += ld {
						k.v.toSplit(rows[i:], slices.Clone(rows[i:i+d]))
					}
					return rows
				}
				ld, ldq, ldo := d+k.r.IntN(3), d+k.r.IntN(3), positions+k.r.IntN(3)
				cache := fill(guarded[E](t, max((positions-1)*ld+d, 1), k.atEnd), func() E { return rounded[E](small(k.r)) })
				q := fill(guarded[float32](t, max((heads-1)*ldq+d, 1), k.atEnd), func() float32 { return small(k.r) })
				plain := slices.Clone(q)
				copy(q, kernelOrder(plain, ldq))
				scores := fill(guarded[float32](t, max((heads-1)*ldo+positions, 1), k.atEnd), func() float32 { return small(k.r) })
				if whole := positions / 4 * 4; whole == positions {
					want := slices.Clone(scores)
					for i := range heads {
						for j := range positions {
							var sum float32
							for c := range d {
								sum += plain[i*ldq+c] * float(cache[j*ld+c])
							}
							want[i*ldo+j] = sum
						}
					}
					k.k.scores(&scores[0], 4*ldo, &q[0], 4*ldq, &cache[0], size*ld, d, positions, heads, 0)
					same(t, fmt.Sprintf("scores of %d heads, %d positions, width %d", heads, positions, d), scores, want)
				}
				want := plain
				for i := range heads {
					for c := range d {
						for j := range positions {
							want[i*ldq+c] += scores[i*ldo+j] * float(cache[j*ld+c])
						}
					}
				}
				k.k.mix(&q[0], 4*ldq, &scores[0], 4*ldo, &cache[0], size*ld, d, positions, heads, 100)
				same(t, fmt.Sprintf("mix of %d heads, %d positions, width %d", heads, positions, d), q, kernelOrder(want, ldq))
			}
		}
	}
}

func TestSoftmaxKernels(t *testing.T) {
	forKernels(t, hasVectors, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		v := k.vectors
		for _, c := range []struct{ spread, scale float64 }{{1, 1}, {20, 0.125}, {300, 1}, {1e30, 2}} {
			for _, n := range []int{v.lanes, 3 * v.lanes, 256} {
				scores := fill(guarded[float32](t, n, atEnd), func() float32 { return float32(c.spread * r.NormFloat64()) })
				s := slices.Clone(scores)
				total := guarded[float32](t, 1, atEnd)
				if got, want := v.softmax(&scores[0], n, float32(c.scale), &total[0]), slices.Max(s); got != want {
					t.Fatalf("the greatest is %v, want %v", got, want)
				}
				var sum float64
				for i, got := range scores {
					x := c.scale * (float64(s[i]) - float64(slices.Max(s)))
					want := math.Exp(x)
					sum += float64(got)
					// Below e^−87 it is 0; the difference and its product are rounded.
					if math.Abs(float64(got)-want) > want*(0x1p-21+math.Abs(x)*0x1p-23)+math.Exp(-86.9) {
						t.Fatalf("e^%v is %v, want %v", x, got, want)
					}
				}
				if math.Abs(float64(total[0])-sum) > float64(n)*0x1p-24*sum {
					t.Fatalf("the sum is %v, want %v", total[0], sum)
				}
			}
		}
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		one := func(x ...float32) ([]float32, float32, float32) {
			scores := slices.Repeat([]float32{-inf}, 2*v.lanes)
			copy(scores[3:], x)
			var total float32
			most := v.softmax(&scores[0], len(scores), 1, &total)
			return scores[3:][:len(x)], most, total
		}
		if _, most, total := one(); most != -math.MaxFloat32 || total != 0 {
			t.Errorf("scores of -Inf alone: greatest %v, sum %v, want %v and 0", most, total, -math.MaxFloat32)
		}
		if w, _, total := one(-inf, 5); w[0] != 0 || w[1] != 1 || total != 1 {
			t.Errorf("scores of -Inf and 5: %v of %v, want 0 and 1 of 1", w, total)
		}
		if w, _, total := one(nan, 5); w[0] == w[0] || total == total {
			t.Errorf("scores of NaN and 5: %v of %v, want NaN", w, total)
		}
		if w, _, total := one(inf, 5); w[0] == w[0] || w[1] != 0 || total == total {
			t.Errorf("scores of Inf and 5: %v of %v, want NaN and 0 of NaN", w, total)
		}
	})
}
