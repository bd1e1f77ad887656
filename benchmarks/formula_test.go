package main

import (
	"math"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// Three tokens with two experts of four each, of which two are here: rows of expert 0 for tokens 0 and 1, of expert 1 for
// token 0, none for token 2. So N = 3, S = 2, U = 2, R = 6 (room for all six slots). T=3 H=130 F=7 E=2 K=2 G=4 M=4 C=5 L=2.
func handProblem() *problem {
	return &problem{
		shape:  shape{name: "hand", H: 130, F: 7, E: 2, K: 2, G: 4, Q: 4, P: 2, D: 6, V: 11},
		tokens: 3, context: 5, layers: 2, align: 1, weights: bf16, activations: f32, device: backend.Host,
		ids: []int32{0, 1, 0, 3, 2, 3}, store: &store{},
	}
}

func TestFormulasByHand(t *testing.T) {
	q := handProblem().quantities()
	ffn, attention := 6.*3*130*7, 4.*4*6*(5+1+5+2+5+3) // of 6, 7 and 8 positions
	moe := ffn + 2*3*4*130
	weights := 3. * 2 * 130 * 7 * 2
	for name, want := range map[string][2]float64{
		"topk":              {0, 3*4*4 + 3*2*4},
		"gates":             {0, 3 * 2 * (4 + 4 + 4)},
		"plan":              {0, 4*6 + 4*6 + 4*6 + 4*6 + 4*3 + 4*2 + 4*4}, // ids, SlotRow, RowSlot, RowExpert, Offsets, Counts, map
		"permute":           {0, 2*130*4 + 6*130*4 + 6*4},
		"unpermute":         {2 * 3 * 130, 3*130*4 + 3*130*4 + 3*2*4 + 3*2*4},
		"swiglu":            {0, 6*14*4 + 6*7*4},
		"quantize":          {0, 3*130*4 + 3*130 + 3*2*4},
		"quantize-weight":   {0, 130*7*4 + 130*7 + 2*1*4},
		"rmsnorm":           {0, 3*130*4 + 3*130*4 + 130*4},
		"add":               {0, 3 * 3 * 130 * 4},
		"groupedmatmul-w13": {3 * 14 * 130 * 2, 2*14*130*2 + 3*130*4 + 6*14*4},
		"groupedmatmul-w2":  {3 * 130 * 7 * 2, 2*130*7*2 + 3*7*4 + 6*130*4},
		"groupedmatmul-ffn": {ffn, weights + 3*137*4 + 6*144*4},
		"experts":           {ffn, weights + 2*130*4 + 3*130*4 + 3*2*4 + 3*2*4},
		"moe":               {moe, weights + 4*130*2 + 2*3*130*4},
		"linear":            {2 * 3 * 24 * 130, 24*130*2 + 3*130*4 + 3*24*4},
		"embedding":         {0, 3*130*2 + 3*130*4 + 3*4},
		"rotary":            {0, 2*3*24*4 + 3*4},
		"cacheappend":       {0, 2*3*12*4 + 2*3*12*4 + 3*4},
		"attention":         {attention, 2*8*12*4 + 2*3*24*4 + 3*4},
		"layer":             {moe, weights + 4*130*2 + 2*3*130*4},
		"layer-unfused":     {moe, weights + 4*130*2 + 2*3*130*4},
		"model": {
			2*(moe+2*3*130*(24+12+12+24)+attention) + 2*11*130,
			2*(weights+4*130*2+(24+12+12+24)*130*2+2*8*12*4) + 3*130*2 + 11*130*2,
		},
		"peer-gorgonia-matmul":            {ffn, weights + 3*137*4 + 3*144*4},
		"peer-gorgonia-matmul-transposed": {ffn, weights + 3*137*4 + 3*144*4},
		"sgemm-nt":                        {2 * 3 * 130 * 7, 4 * (3*130 + 130*7 + 3*7)},
		"sgemv-t":                         {2 * 130 * 7, 4 * (130*7 + 130 + 7)},
		"peer-gonum-sgemm-tn":             {2 * 3 * 130 * 7, 4 * (3*130 + 130*7 + 3*7)},
		"peer-gonum-sgemv-n":              {2 * 130 * 7, 4 * (130*7 + 130 + 7)},
	} {
		list, err := selectWorks(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range []formula{list[0].flops, list[0].bytes} {
			if got, err := f.of(q); err != nil || math.Abs(got-want[i]) > 1e-9*want[i] {
				t.Errorf("%s: %s = %v, error %v, want %v", name, f, got, err, want[i])
			}
		}
	}
}

func TestEveryWorkHasBytesThatCanBeComputed(t *testing.T) {
	q := handProblem().quantities()
	for _, w := range works {
		if b, err := w.bytes.of(q); err != nil || b <= 0 {
			t.Errorf("%s: %s = %v, error %v", w.name, w.bytes, b, err)
		}
		if f, err := w.flops.of(q); err != nil || f < 0 || (f == 0) != (w.flops == "") {
			t.Errorf("%s: %s = %v, error %v", w.name, w.flops, f, err)
		}
	}
}

func TestBytesOfFP8(t *testing.T) {
	p := handProblem()
	p.weights, p.activations = fp8, fp8
	q := p.quantities()
	for letter, want := range map[string]float64{"a": 1 + 1./32, "o": 4, "w": 1 + 1./4096, "b": 2} {
		if q[letter] != want {
			t.Errorf("%s = %v, want %v", letter, q[letter], want)
		}
	}
}

func TestFormulasThatCannotBeComputed(t *testing.T) {
	for _, f := range []formula{"2·Z", "2·", "T − 1", "T - 1", "-T", `"T"`, "T[1]"} {
		if x, err := f.of(quantities{"T": 1}); err == nil {
			t.Errorf("%s = %v, want an error", f, x)
		}
	}
}

func TestBytesOfBlocks(t *testing.T) {
	for dt, want := range map[*dtype]float64{q8: 34. / 32, q4: 18. / 32} {
		p := handProblem()
		p.weights = dt
		q := p.quantities()
		if q["w"] != want || q["m"] != want || q["b"] != 2 {
			t.Errorf("%s: w = %v, m = %v, b = %v, want %v, %v, 2", dt.name, q["w"], q["m"], q["b"], want, want)
		}
		if w := p.w13(); p.err != nil || w.MemSize() != uintptr(2*2*7*dt.format.RowBytes(130)) {
			t.Errorf("%s: w13 is %v of %d bytes, error %v", dt.name, w, w.MemSize(), p.err)
		}
		if w := p.matrix("q", 3, 130); p.err != nil || w.MemSize() != uintptr(3*dt.format.RowBytes(130)) {
			t.Errorf("%s: a matrix is %v of %d bytes, error %v", dt.name, w, w.MemSize(), p.err)
		}
	}
}
