package cpu

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// rowStages are the stages beside the products that the variants have.
type rowStages interface {
	backend.Backend
	backend.Permute
	backend.SwiGLU
	backend.Unpermute
	backend.Quantize
	backend.RMSNorm
	backend.Rotary
	backend.Attention
	backend.Add
}

// rowBackends are the variants of the machine that have these stages. Without one the test is skipped.
func rowBackends(t testing.TB) (list []rowStages) {
	t.Helper()
	for _, s := range someVariants(t, hasVectors) {
		list = append(list, s)
	}
	return list
}

// rowCalls are the stages of b with operands of T tokens and a hidden width bound to them.
func rowCalls(t testing.TB, b rowStages, dt tensor.Dtype, tokens, hidden int) []stageCall {
	const heads, kvHeads, slots, experts, align = 4, 2, 3, 5, 4
	rng := rand.New(rand.NewPCG(41, 42))
	random := func(shape ...int) *tensor.Dense { d, _ := normals(t, rng, dt, shape...); return d }
	ids := make([]int32, tokens*slots)
	for i := range ids {
		ids[i] = int32(rng.IntN(experts+1)) - 1
	}
	p := planOf(t, tokens, slots, experts, align, ids...)
	x, rows := random(tokens, hidden), random(p.Rows, hidden)
	gates, _ := normals(t, rng, tensor.Float32, tokens, slots)
	w, _ := normals(t, rng, tensor.Float32, hidden)
	q, err := backend.NewQuantized(backend.Host, tensor.Shape{tokens, hidden}, 1, 128)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := backend.NewKVCache(backend.Host, dt, 700, kvHeads, 32)
	if err != nil {
		t.Fatal(err)
	}
	cache.Keys, cache.Values = random(700, kvHeads*32), random(700, kvHeads*32)
	queries := random(tokens, heads*32)
	at := make([]int32, tokens)
	for i := range at {
		at[i] = int32(rng.IntN(700))
	}
	positions := hostTensor(t, []int{tokens}, at...)
	destination := func(like *tensor.Dense) *tensor.Dense { return poisoned(t, like.Dtype(), like.Shape()...) }
	permuted, summed, normed, added := destination(rows), destination(x), destination(x), destination(x)
	turned, attended := destination(queries), destination(queries)
	pairs := random(tokens, 2*hidden)
	activated := destination(x)
	return []stageCall{
		{"Permute", func() error { return b.Permute(permuted, x, p) }, permuted},
		{"SwiGLU", func() error { return b.SwiGLU(activated, pairs) }, activated},
		{"Unpermute", func() error { return b.Unpermute(summed, rows, gates, p) }, summed},
		{"Quantize", func() error { return b.Quantize(q, x) }, q},
		{"RMSNorm", func() error { return b.RMSNorm(normed, x, w, 1e-5) }, normed},
		{"Add", func() error { return b.Add(added, x, x) }, added},
		{"Rotary", func() error { return b.Rotary(turned, queries, positions, 32, 1e4) }, turned},
		{"Attention", func() error { return b.Attention(attended, queries, cache, positions, 0) }, attended},
	}
}

// sameAsGo are the stages whose bits are those of plain Go.
var sameAsGo = []string{"Permute", "Unpermute", "Quantize", "Add", "Rotary"}

func TestVectorStagesHaveTheBitsOfGo(t *testing.T) {
	for _, b := range rowBackends(t) {
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
			for _, size := range []struct{ tokens, hidden int }{{1, 1}, {3, 64}, {7, 131}, {40, 4096 + 130}} {
				want := rowCalls(t, Go{}, dt, size.tokens, size.hidden)
				for i, call := range rowCalls(t, b, dt, size.tokens, size.hidden) {
					if !slices.Contains(sameAsGo, call.name) {
						continue
					}
					if err := call.run(); err != nil {
						t.Fatal(err)
					}
					if err := want[i].run(); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(bytesIn(t, call.out), bytesIn(t, want[i].out)) {
						t.Errorf("%s, %v, %s of %v: bits differ from plain Go's", b.Name(), dt, call.name, size)
					}
				}
			}
		}
	}
}

func TestVectorStagesDoNotDependOnGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, b := range rowBackends(t) {
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
			for _, tokens := range []int{1, 2, 5, 200} {
				var want [][]byte
				for _, procs := range []int{1, 2, 3, 8} {
					runtime.GOMAXPROCS(procs)
					for i, call := range rowCalls(t, b, dt, tokens, 300) {
						if err := call.run(); err != nil {
							t.Fatal(err)
						}
						if got := bytesIn(t, call.out); i == len(want) {
							want = append(want, got)
						} else if !bytes.Equal(got, want[i]) {
							t.Errorf("%s, %v, %s of %d tokens: other bits for GOMAXPROCS = %d", b.Name(), dt, call.name, tokens, procs)
						}
					}
				}
			}
		}
	}
}

// TestStagesAllocateNothing counts allocations once the pools are warm, of plain Go and of the variants.
func TestStagesAllocateNothing(t *testing.T) {
	skipWherePoolsForget(t)
	none := func(name string, dt tensor.Dtype, call stageCall) {
		t.Helper()
		run := func() {
			if err := call.run(); err != nil {
				t.Error(err)
			}
		}
		for range 5 {
			run() // grows what the pools hold
		}
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s, %v, %s: %v allocations a run", name, dt, call.name, n)
		}
	}
	for _, tokens := range []int{1, 300} {
		for _, dt := range floatDtypes {
			for _, call := range append(stageCalls(t, dt, tokens), decoderCalls(t, dt, tokens)...) {
				none("cpu/go", dt, call)
			}
			for _, call := range rowCalls(t, Go{}, dt, tokens, 300) {
				none("cpu/go", dt, call)
			}
		}
		for _, b := range variantsWith(hasVectors) {
			for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
				for _, call := range rowCalls(t, b, dt, tokens, 300) {
					none(b.Name(), dt, call)
				}
			}
		}
	}
}

// decoderCalls are CacheAppend and Embedding, which the variants leave to plain Go.
func decoderCalls(t testing.TB, dt tensor.Dtype, tokens int) []stageCall {
	cache, err := backend.NewKVCache(backend.Host, tensor.Float32, 400, 2, 8)
	if err != nil {
		t.Fatal(err)
	}
	at := make([]int32, tokens)
	for i := range at {
		at[i] = int32(i)
	}
	positions := hostTensor(t, []int{tokens}, at...)
	fresh, table, out := poisoned(t, dt, tokens, 16), poisoned(t, dt, 400, 16), poisoned(t, dt, tokens, 16)
	return []stageCall{
		{"CacheAppend", func() error { return Go{}.CacheAppend(cache, fresh, fresh, positions) }, cache},
		{"Embedding", func() error { return Go{}.Embedding(out, table, positions) }, out},
	}
}

// TestRowsPastTheCaches has outputs large enough to be written past the caches, and some that could not be.
func TestRowsPastTheCaches(t *testing.T) {
	if testing.Short() {
		t.Skip("outputs larger than the caches")
	}
	for _, b := range rowBackends(t) {
		for _, hidden := range []int{4096, 4000, 4001} {
			const tokens = 1100
			want := rowCalls(t, Go{}, tensor.Float32, tokens, hidden)
			for i, call := range rowCalls(t, b, tensor.Float32, tokens, hidden) {
				if !slices.Contains([]string{"Permute", "Unpermute", "Add"}, call.name) {
					continue
				}
				if err := call.run(); err != nil {
					t.Fatal(err)
				}
				if err := want[i].run(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(bytesIn(t, call.out), bytesIn(t, want[i].out)) {
					t.Errorf("%s, %s of width %d: bits differ from plain Go's", b.Name(), call.name, hidden)
				}
			}
		}
	}
}

// TestLargePermuteOfAPlanThatIsNone: where SlotRow and RowSlot are not inverse, RowSlot counts, as in plain Go.
func TestLargePermuteOfAPlanThatIsNone(t *testing.T) {
	if testing.Short() {
		t.Skip("outputs larger than the caches")
	}
	const tokens, hidden = 1100, 4096
	x, _ := normals(t, rand.New(rand.NewPCG(43, 44)), tensor.Float32, tokens, hidden)
	ids := make([]int32, tokens)
	for _, change := range []func(slotRow, rowSlot []int32){
		func(slotRow, _ []int32) { slotRow[5] = slotRow[6] },
		func(slotRow, _ []int32) { slotRow[5] = -1 },
		func(slotRow, _ []int32) { slotRow[5] = math.MaxInt32 },
		func(slotRow, _ []int32) { slotRow[5] = -2 },
		func(_, rowSlot []int32) { rowSlot[5] = -1 },
		func(_, rowSlot []int32) { rowSlot[5] = rowSlot[6] },
	} {
		p := planOf(t, tokens, 1, 1, 1, ids...)
		change(elementsIn[int32](t, p.SlotRow), elementsIn[int32](t, p.RowSlot))
		want := poisoned(t, tensor.Float32, p.Rows, hidden)
		if err := (Go{}).Permute(want, x, p); err != nil {
			t.Fatal(err)
		}
		for _, b := range rowBackends(t) {
			rows := poisoned(t, tensor.Float32, p.Rows, hidden)
			if err := b.Permute(rows, x, p); err != nil {
				t.Fatal(err)
			}
			sameBytes(t, rows, want)
		}
	}
}

// TestVectorAttentionByFormula has chunks, blocks and groups that are whole and cut off, windows, heads in pairs and alone.
func TestVectorAttentionByFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 46))
	for _, c := range []attentionCase{
		{heads: 1, kvHeads: 1, d: 16, capacity: 1, positions: []int32{0}},
		{heads: 4, kvHeads: 2, d: 32, capacity: 9, positions: []int32{8, 0, 3, 3}},
		{heads: 6, kvHeads: 2, d: 48, capacity: 600, positions: []int32{599}},
		{heads: 7, kvHeads: 1, d: 80, capacity: 530, positions: []int32{511, 512, 513}},
		{heads: 4, kvHeads: 2, d: 128, capacity: 1100, positions: []int32{1099, 255, 256, 257, 1024, 1, 2, 700, 701}},
		{heads: 4, kvHeads: 2, d: 16, capacity: 1100, window: 1, positions: []int32{1099, 255, 256, 0}},
		{heads: 4, kvHeads: 2, d: 16, capacity: 1100, window: 3, positions: []int32{1099, 256, 257, 0}},
		{heads: 5, kvHeads: 5, d: 16, capacity: 1100, window: 300, positions: []int32{1099, 300, 257, 0, 11}},
		{heads: 4, kvHeads: 2, d: 16, capacity: 800, window: math.MaxInt, positions: []int32{799}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
			for _, cached := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
				q, cache, qs, ks, vs := c.operands(t, rng, dt, cached)
				positions := hostTensor(t, []int{len(c.positions)}, c.positions...)
				for _, b := range rowBackends(t) {
					t.Run(fmt.Sprintf("%s/%v on %v/%v", b.Name(), dt, cached, c), func(t *testing.T) {
						out := poisoned(t, dt, len(c.positions), c.heads*c.d)
						err := b.Attention(out, q, cache, positions, c.window)
						if step := b.(simd).k.vectors.step; cached == backend.BFloat16 && c.d%step != 0 {
							if !errors.Is(err, backend.ErrUnsupported) {
								t.Fatalf("error %v, want %v: heads of %d, steps of %d", err, backend.ErrUnsupported, c.d, step)
							}
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						got := floatsIn(t, out)
						for i := range len(c.positions) * c.heads {
							want, magnitude := c.want(i/c.heads, i%c.heads, qs, ks, vs)
							for k, w := range want {
								if !near(got[i*c.d+k], w, magnitude[k], 4*c.d, 0x1p-24, dt) {
									t.Fatalf("token %d, head %d, element %d is %v, want %v", i/c.heads, i%c.heads, k, got[i*c.d+k], w)
								}
							}
						}
					})
				}
			}
		}
	}
}

// TestVectorAttentionRowsAreIndependent compares each row with that of the token alone, and of windows that see as much.
func TestVectorAttentionRowsAreIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(47, 48))
	c := attentionCase{heads: 8, kvHeads: 2, d: 32, capacity: 1000}
	for range 21 {
		c.positions = append(c.positions, int32(rng.IntN(c.capacity)))
	}
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		q, cache, _, _, _ := c.operands(t, rng, dt, dt)
		row := len(bytesIn(t, q)) / len(c.positions)
		for _, b := range rowBackends(t) {
			all := poisoned(t, dt, len(c.positions), c.heads*c.d)
			if err := b.Attention(all, q, cache, hostTensor(t, []int{len(c.positions)}, c.positions...), 0); err != nil {
				t.Fatal(err)
			}
			for i, p := range c.positions {
				one, out := poisoned(t, dt, 1, c.heads*c.d), poisoned(t, dt, 1, c.heads*c.d)
				copyBytes(t, one, bytesIn(t, q)[i*row:(i+1)*row])
				if err := b.Attention(out, one, cache, hostTensor(t, []int{1}, p), int(p)+1); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(bytesIn(t, out), bytesIn(t, all)[i*row:(i+1)*row]) {
					t.Errorf("%s, %v: row %d alone has other bits", b.Name(), dt, i)
				}
			}
		}
	}
}
