package cpu

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// attentionCase is an Attention of random operands. Whatever no query may read is NaN.
type attentionCase struct {
	heads, kvHeads, d, capacity, window int
	positions                           []int32
}

func (c attentionCase) String() string {
	return fmt.Sprintf("heads=%d/%d,D=%d,capacity=%d,window=%d,positions=%v", c.heads, c.kvHeads, c.d, c.capacity, c.window, c.positions)
}

// operands draws q and a cache, and gives the numbers of q, keys and values.
func (c attentionCase) operands(t testing.TB, rng *rand.Rand, dt, cached tensor.Dtype) (q *tensor.Dense, cache *backend.KVCache, qs, ks, vs []float64) {
	t.Helper()
	cache, err := backend.NewKVCache(backend.Host, cached, c.capacity, c.kvHeads, c.d)
	if err != nil {
		t.Fatal(err)
	}
	q, qs = normals(t, rng, dt, len(c.positions), c.heads*c.d)
	width := c.kvHeads * c.d
	cache.Keys, ks = normals(t, rng, cached, c.capacity, width)
	cache.Values, vs = normals(t, rng, cached, c.capacity, width)
	seen := make([]bool, c.capacity)
	for _, p := range c.positions {
		for j := c.first(p); j <= int(p); j++ {
			seen[j] = true
		}
	}
	for _, v := range []backend.Value{cache.Keys, cache.Values} {
		f, err := floatsOf[float64]("test", "cache", v, c.capacity, width)
		if err != nil {
			t.Fatal(err)
		}
		for j, s := range seen {
			for i := j * width; i < (j+1)*width && !s; i++ {
				f.write(i, []float64{math.NaN()})
			}
		}
	}
	return q, cache, qs, ks, vs
}

func (c attentionCase) first(p int32) int {
	if c.window == 0 {
		return 0
	}
	return max(0, int(p)-c.window+1)
}

// want is the output of a token and head by the formula, and for each element the greatest value that goes into it.
func (c attentionCase) want(token, head int, qs, ks, vs []float64) (out, magnitude []float64) {
	width, at := c.kvHeads*c.d, (token*c.heads+head)*c.d
	lo := head / (c.heads / c.kvHeads) * c.d
	p, total := c.positions[token], 0.0
	out, magnitude = make([]float64, c.d), make([]float64, c.d)
	for j := c.first(p); j <= int(p); j++ {
		score, _ := dotOf(qs[at:at+c.d], ks[j*width+lo:j*width+lo+c.d])
		w := math.Exp(score / math.Sqrt(float64(c.d)))
		total += w
		for i := range out {
			v := vs[j*width+lo+i]
			out[i] += w * v
			magnitude[i] = max(magnitude[i], math.Abs(v))
		}
	}
	for i := range out {
		out[i] /= total
	}
	return out, magnitude
}

var attentionCases = []attentionCase{
	{heads: 2, kvHeads: 1, d: 3, capacity: 0},
	{heads: 1, kvHeads: 1, d: 1, capacity: 1, positions: []int32{0}},
	{heads: 6, kvHeads: 2, d: 5, capacity: 9, positions: []int32{8, 0, 3, 3}},
	{heads: 4, kvHeads: 4, d: 127, capacity: 14, positions: []int32{5, 6, 11, 12}},
	{heads: 3, kvHeads: 1, d: 130, capacity: 300, positions: []int32{299, 1}},
	{heads: 2, kvHeads: 2, d: 8, capacity: 50, window: 1, positions: []int32{49, 0}},
	{heads: 2, kvHeads: 1, d: 8, capacity: 50, window: 7, positions: []int32{49, 5, 6, 7}},
	{heads: 2, kvHeads: 1, d: 8, capacity: 50, window: math.MaxInt, positions: []int32{20}},
}

func TestAttentionByFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, c := range attentionCases {
		for _, dt := range floatDtypes {
			for _, cached := range floatDtypes {
				t.Run(fmt.Sprintf("%v on %v/%v", dt, cached, c), func(t *testing.T) {
					q, cache, qs, ks, vs := c.operands(t, rng, dt, cached)
					out := poisoned(t, dt, len(c.positions), c.heads*c.d)
					if err := (Go{}).Attention(out, q, cache, hostTensor(t, []int{len(c.positions)}, c.positions...), c.window); err != nil {
						t.Fatal(err)
					}
					acc := 0x1p-24
					if dt == tensor.Float64 || cached == tensor.Float64 {
						acc = 0x1p-53
					}
					got := floatsIn(t, out)
					for i := range len(c.positions) * c.heads {
						want, magnitude := c.want(i/c.heads, i%c.heads, qs, ks, vs)
						for k, w := range want {
							if !near(got[i*c.d+k], w, magnitude[k], 4*(c.d+c.capacity), acc, dt) {
								t.Fatalf("token %d, head %d, element %d is %v, want %v", i/c.heads, i%c.heads, k, got[i*c.d+k], w)
							}
						}
					}
				})
			}
		}
	}
}

// TestAttentionOfHugeScores has scores whose exponentials overflow: the greatest takes all.
func TestAttentionOfHugeScores(t *testing.T) {
	for _, dt := range floatDtypes {
		cache, err := backend.NewKVCache(backend.Host, dt, 3, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		cache.Keys = floatTensor(t, dt, []int{3, 1}, -200, 200, 100)
		cache.Values = floatTensor(t, dt, []int{3, 1}, 1, 2, 3)
		out := poisoned(t, dt, 2, 1)
		if err := (Go{}).Attention(out, floatTensor(t, dt, []int{2, 1}, 200, -200), cache, hostTensor[int32](t, []int{2}, 2, 2), 0); err != nil {
			t.Fatal(err)
		}
		if got := floatsIn(t, out); !sameFloats(got, []float64{2, 1}) {
			t.Errorf("%v: got %v, want 2 and 1", dt, got)
		}
	}
}

// TestAttentionRowsAreIndependent compares the bits of a row with those of the row on its own, and makes one row NaN.
func TestAttentionRowsAreIndependent(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	c := attentionCase{heads: 4, kvHeads: 2, d: 20, capacity: 40, positions: []int32{39, 7, 20}}
	rng := rand.New(rand.NewPCG(23, 24))
	for _, dt := range floatDtypes {
		q, cache, _, _, _ := c.operands(t, rng, dt, dt)
		attend := func(q backend.Value, positions ...int32) []byte {
			out := poisoned(t, dt, len(positions), c.heads*c.d)
			if err := (Go{}).Attention(out, q, cache, hostTensor(t, []int{len(positions)}, positions...), 0); err != nil {
				t.Fatal(err)
			}
			return bytesIn(t, out)
		}
		all := attend(q, c.positions...)
		runtime.GOMAXPROCS(3)
		if !bytes.Equal(attend(q, c.positions...), all) {
			t.Errorf("%v: other bits for another GOMAXPROCS", dt)
		}
		row := len(all) / 3
		one := poisoned(t, dt, 1, c.heads*c.d)
		copyBytes(t, one, bytesIn(t, q)[row:2*row])
		if !bytes.Equal(attend(one, c.positions[1]), all[row:2*row]) {
			t.Errorf("%v: row 1 on its own has other bits", dt)
		}
		f, err := floatsOf[float64]("test", "q", q, 3, c.heads*c.d)
		if err != nil {
			t.Fatal(err)
		}
		f.write(2*c.heads*c.d-1, []float64{math.NaN()}) // the last head of row 1
		broken := attend(q, c.positions...)
		same := len(all)/3 + len(all)/3/c.heads*(c.heads-1)
		if !bytes.Equal(broken[:same], all[:same]) || !bytes.Equal(broken[2*row:], all[2*row:]) {
			t.Errorf("%v: a NaN in one head changes another", dt)
		}
		out := poisoned(t, dt, 3, c.heads*c.d)
		copyBytes(t, out, broken)
		if got := floatsIn(t, out)[2*c.heads*c.d-c.d:][:c.d]; !sameFloats(got, floatsIn(t, poisoned(t, dt, c.d))) {
			t.Errorf("%v: the head with a NaN is %v, want NaN", dt, got)
		}
	}
}

func TestAttentionErrors(t *testing.T) {
	cache, err := backend.NewKVCache(backend.Host, tensor.Float32, 10, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*backend.KVCache)) *backend.KVCache {
		c := *cache
		change(&c)
		return &c
	}
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	at := func(p ...int32) backend.Value { return hostTensor(t, []int{len(p)}, p...) }
	for name, c := range map[string]struct {
		out, q    backend.Value
		cache     *backend.KVCache
		positions backend.Value
		window    int
		want      error
	}{
		"no out":        {nil, f32(2, 12), cache, at(0, 1), 0, backend.ErrValue},
		"no q":          {f32(2, 12), nil, cache, at(0, 1), 0, backend.ErrValue},
		"no cache":      {f32(2, 12), f32(2, 12), nil, at(0, 1), 0, backend.ErrValue},
		"no keys":       {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.Keys = nil }), at(0, 1), 0, backend.ErrValue},
		"no positions":  {f32(2, 12), f32(2, 12), cache, nil, 0, backend.ErrValue},
		"no heads":      {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.KVHeads = 0 }), at(0, 1), 0, backend.ErrParameter},
		"window":        {f32(2, 12), f32(2, 12), cache, at(0, 1), -1, backend.ErrParameter},
		"heads":         {f32(2, 9), f32(2, 9), cache, at(0, 1), 0, backend.ErrShape},
		"rank of q":     {f32(2, 12), f32(24), cache, at(0, 1), 0, backend.ErrShape},
		"out":           {f32(2, 6), f32(2, 12), cache, at(0, 1), 0, backend.ErrShape},
		"positions":     {f32(2, 12), f32(2, 12), cache, at(0), 0, backend.ErrShape},
		"keys":          {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.Keys = f32(9, 6) }), at(0, 1), 0, backend.ErrShape},
		"values":        {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.Values = f32(10, 7) }), at(0, 1), 0, backend.ErrShape},
		"capacity":      {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.Capacity = 11 }), at(0, 10), 0, backend.ErrShape},
		"dtype of q":    {f32(2, 12), hostTensor[int32](t, []int{2, 12}), cache, at(0, 1), 0, backend.ErrDtype},
		"dtype of keys": {f32(2, 12), f32(2, 12), edit(func(c *backend.KVCache) { c.Keys = hostTensor[int32](t, []int{10, 6}) }), at(0, 1), 0, backend.ErrDtype},
		"int64":         {f32(2, 12), f32(2, 12), cache, hostTensor[int64](t, []int{2}), 0, backend.ErrDtype},
		"before":        {f32(2, 12), f32(2, 12), cache, at(0, -1), 0, backend.ErrIndex},
		"behind":        {f32(2, 12), f32(2, 12), cache, at(10, 0), 0, backend.ErrIndex},
	} {
		if err := (Go{}).Attention(c.out, c.q, c.cache, c.positions, c.window); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestAttentionDoesNotAllocatePerRow(t *testing.T) {
	c := attentionCase{heads: 4, kvHeads: 2, d: 3, capacity: 8, positions: make([]int32, 1_000)}
	rng := rand.New(rand.NewPCG(25, 26))
	for _, dt := range floatDtypes {
		q, cache, _, _, _ := c.operands(t, rng, dt, dt)
		out, positions := poisoned(t, dt, len(c.positions), c.heads*c.d), hostTensor(t, []int{len(c.positions)}, c.positions...)
		wantFewAllocations(t, dt, func() error { return Go{}.Attention(out, q, cache, positions, 0) })
	}
}
