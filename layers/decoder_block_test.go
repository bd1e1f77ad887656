package layers_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

const (
	hidden, heads, kvHeads, headDim = 12, 4, 2, 6
	base, eps                       = 1e4, 1e-5
)

func randomBlock(t *testing.T, r *rand.Rand) *layers.DecoderBlock {
	t.Helper()
	moe, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 2}, random(r, 3, hidden), randomExperts(r, 3, hidden, 5))
	if err != nil {
		t.Fatal(err)
	}
	return &layers.DecoderBlock{
		AttentionNorm: layers.RMSNorm{Name: "norm1", Eps: eps, Weight: random(r, hidden)},
		Attention: &layers.Attention{
			AttentionConfig: layers.AttentionConfig{Name: "attention", HeadDim: headDim, RotaryBase: base, Window: 3},
			Q:               random(r, heads*headDim, hidden), K: random(r, kvHeads*headDim, hidden),
			V: random(r, kvHeads*headDim, hidden), O: random(r, hidden, heads*headDim),
		},
		MoENorm: layers.RMSNorm{Name: "norm2", Eps: eps, Weight: random(r, hidden)},
		MoE:     moe,
	}
}

// runBlock runs the tokens x, the first of them at a position, and gives y.
func runBlock(t *testing.T, l *layers.DecoderBlock, cache *backend.KVCache, x *tensor.Dense, from int) []float32 {
	t.Helper()
	position := make([]int32, x.Shape()[0])
	for i := range position {
		position[i] = int32(from + i)
	}
	g := gorgonia.NewGraph()
	input := func(name string, v backend.Value) *gorgonia.Node {
		n, err := layers.Input(g, name, v)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	y, _, err := l.Fwd(input("x", x), input("positions", tensor.New(tensor.WithShape(len(position)), tensor.WithBacking(position))), input("cache", cache))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, y)
}

// attend is the attention of the block's own tokens, one after the other in float64: y = x + O·attention(norm(x)).
func attend(l *layers.DecoderBlock, x *tensor.Dense) [][]float64 {
	a := l.Attention
	tokens := x.Shape()[0]
	norm := func(row []float64, w backend.Value) []float64 {
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		out := make([]float64, len(row))
		for j, v := range row {
			out[j] = at(w, 0, j) * v / math.Sqrt(sum/float64(len(row))+eps)
		}
		return out
	}
	project := func(w backend.Value, row []float64) []float64 {
		out := make([]float64, w.Shape()[0])
		for i := range out {
			out[i] = dot(w, i, row)
		}
		return out
	}
	turn := func(v []float64, position int) []float64 {
		out := make([]float64, len(v))
		for j := range v {
			head, c := j/headDim*headDim, j%headDim
			s, cos := math.Sincos(float64(position) * math.Pow(base, -float64(c%(headDim/2))/(headDim/2)))
			if c < headDim/2 {
				out[j] = v[j]*cos - v[head+c+headDim/2]*s
			} else {
				out[j] = v[j]*cos + v[head+c-headDim/2]*s
			}
		}
		return out
	}
	var keys, values, out [][]float64
	for t := range tokens {
		row := make([]float64, hidden)
		for j := range row {
			row[j] = at(x, t, j)
		}
		n := norm(row, l.AttentionNorm.Weight)
		q := turn(project(a.Q, n), t)
		keys, values = append(keys, turn(project(a.K, n), t)), append(values, project(a.V, n))
		mixed := make([]float64, heads*headDim)
		for h := range heads {
			kv := h / (heads / kvHeads) * headDim
			var total float64
			for p := max(0, t-a.Window+1); p <= t; p++ {
				score := 0.0
				for c := range headDim {
					score += q[h*headDim+c] * keys[p][kv+c]
				}
				e := math.Exp(score / math.Sqrt(headDim))
				total += e
				for c := range headDim {
					mixed[h*headDim+c] += e * values[p][kv+c]
				}
			}
			for c := range headDim {
				mixed[h*headDim+c] /= total
			}
		}
		y := project(a.O, mixed)
		for j := range y {
			y[j] += row[j]
		}
		out = append(out, y)
	}
	return out
}

func TestDecoderBlockEqualsOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	l, x := randomBlock(t, r), random(r, 7, hidden)
	h := attend(l, x)
	normed := tensor.New(tensor.WithShape(7, hidden), tensor.Of(tensor.Float32))
	for i, row := range h {
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		for j, v := range row {
			normed.Data().([]float32)[i*hidden+j] = float32(at(l.MoENorm.Weight, 0, j) * v / math.Sqrt(sum/hidden+eps))
		}
	}
	stack := func(v backend.Value, e int) []backend.Value { return v.(*backend.ExpertStack).Expert(e) }
	var experts []layers.Expert
	for e := range 3 {
		w13 := stack(l.MoE.W13, e)
		experts = append(experts, layers.Expert{W1: w13[0], W3: w13[1], W2: stack(l.MoE.W2, e)[0]})
	}
	y, _ := denseMoE(normed, l.MoE.Router, experts, 2, nil)
	cache, err := l.Attention.NewCache(7)
	if err != nil {
		t.Fatal(err)
	}
	got := runBlock(t, l, cache, x, 0)
	for i := range y {
		for j := range y[i] {
			want := h[i][j] + y[i][j]
			if g := float64(got[i*hidden+j]); !(math.Abs(g-want) <= 2e-4*(1+math.Abs(want))) {
				t.Fatalf("y[%d,%d] = %v, want %v", i, j, g, want)
			}
		}
	}
}

// A text in pieces gives what it gives at once, to the bit.
func TestDecoderBlockInPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	l, x := randomBlock(t, r), random(r, 6, hidden)
	cache := func() *backend.KVCache {
		c, err := l.Attention.NewCache(6)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	whole := runBlock(t, l, cache(), x, 0)
	pieces, c := []float32(nil), cache()
	for _, p := range [][2]int{{0, 3}, {3, 4}, {4, 6}} {
		part := tensor.New(tensor.WithShape(p[1]-p[0], hidden), tensor.WithBacking(x.Data().([]float32)[p[0]*hidden:p[1]*hidden]))
		pieces = append(pieces, runBlock(t, l, c, part, p[0])...)
	}
	for i := range whole {
		if whole[i] != pieces[i] {
			t.Fatalf("element %d is %v at once, %v in pieces", i, whole[i], pieces[i])
		}
	}
}
