package decoder

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

// goldens are checkpoints with reference outputs, and how far a number may be from the reference.
var goldens = []struct {
	dir     string
	largest float64
}{
	{"../testdata/golden/public-f32", 1e-4},
	{"../testdata/golden/public-bf16-sharded", 2e-3},
	{"../testdata/checkpoints/tied-window-f32", 1e-4},
	{"../testdata/checkpoints/many-experts-bf16-sharded", 2e-3},
	{"../testdata/checkpoints/one-of-five-f16", 2e-3},
	{"../testdata/checkpoints/stacked-bf16", 2e-3},
}

// eachGolden runs a test for every checkpoint.
func eachGolden(t *testing.T, test func(t *testing.T, m *Model, g golden)) {
	for _, c := range goldens {
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			test(t, load(t, c.dir), golden{openFile(t, filepath.Join(c.dir, "golden.safetensors")), c.largest})
		})
	}
}

func TestAppendAllGivesTheLogits(t *testing.T) {
	eachGolden(t, func(t *testing.T, m *Model, g golden) {
		ids, want := g.int32s(t, "input_ids"), g.float32s(t, "logits")
		got, err := session(t, m, len(ids)).AppendAll(ids...)
		if err != nil {
			t.Fatal(err)
		}
		g.near(t, "logits", got, want)
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got, err = session(t, packed, len(ids)).AppendAll(ids...); err != nil {
			t.Fatal(err)
		}
		g.near(t, "logits of packed weights", got, want)
	})
}

// However the text is cut into parts, the logits after each part are those of the whole.
func TestAppendInParts(t *testing.T) {
	eachGolden(t, func(t *testing.T, m *Model, g golden) {
		ids, want := g.int32s(t, "input_ids"), g.float32s(t, "logits")
		v := m.Config.VocabSize
		for _, part := range []int{1, 2, 7, len(ids)} {
			s := session(t, m, len(ids)+3)
			for from := 0; from < len(ids); from += part {
				to := min(from+part, len(ids))
				got, err := s.Append(ids[from:to]...)
				if err != nil {
					t.Fatal(err)
				}
				if s.Len() != to {
					t.Fatalf("%d tokens after %d", s.Len(), to)
				}
				g.near(t, fmt.Sprintf("logits after %d tokens, by %d", to, part), got, want[(to-1)*v:to*v])
			}
		}
	})
}

func TestGreedyContinuation(t *testing.T) {
	eachGolden(t, func(t *testing.T, m *Model, g golden) {
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]*Model{"as loaded": m, "packed": packed} {
			want := g.int32s(t, "greedy_ids")
			n := int(g.int32s(t, "prompt_len")[0])
			s, ids := session(t, m, len(want)), slices.Clone(want[:n])
			for part := ids; len(ids) < len(want); part = ids[len(ids)-1:] {
				logits, err := s.Append(part...)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, argmax(logits))
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s: ids %v, want %v", name, ids, want)
			}
		}
	})
}

// The load of a text is the number of times that the reference's router logits rank each expert among the first K.
func TestLoad(t *testing.T) {
	eachGolden(t, func(t *testing.T, m *Model, g golden) {
		ids := g.int32s(t, "input_ids")
		s := session(t, m, len(ids))
		s.CountLoad()
		for _, part := range [][]int32{ids[:9], ids[9:10], ids[10:]} {
			if _, err := s.Append(part...); err != nil {
				t.Fatal(err)
			}
		}
		for layer, got := range s.Load() {
			want := make([]int64, m.Config.NumExperts)
			for logits := range slices.Chunk(g.float32s(t, fmt.Sprintf("router.%d", layer)), m.Config.NumExperts) {
				for range m.Config.TopK {
					e := argmax(logits)
					want[e]++
					logits[e] = float32(math.Inf(-1))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("layer %d: load %v, want %v", layer, got, want)
			}
		}
	})
}

// The values between the layers: hidden.i goes into layer i, the last one is the final norm's.
func TestHiddenStates(t *testing.T) {
	for _, c := range goldens[:2] {
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			m, g := load(t, c.dir), golden{openFile(t, filepath.Join(c.dir, "golden.safetensors")), c.largest}
			ids := g.int32s(t, "input_ids")
			positions := make([]int32, len(ids))
			for i := range positions {
				positions[i] = int32(i)
			}
			graph := gorgonia.NewGraph()
			input := func(name string, v backend.Value) *gorgonia.Node {
				n, err := layers.Input(graph, name, v)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			vector := func(v []int32) *tensor.Dense { return tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v)) }
			at := input("positions", vector(positions))
			x, err := m.Embedding.Fwd(input("ids", vector(ids)))
			if err != nil {
				t.Fatal(err)
			}
			nodes := map[string]*gorgonia.Node{}
			for i, b := range m.Blocks {
				nodes[fmt.Sprintf("hidden.%d", i)] = x
				cache, err := b.Attention.NewCache(len(ids))
				if err != nil {
					t.Fatal(err)
				}
				var r layers.Routing
				if x, r, err = b.Fwd(x, at, input(fmt.Sprintf("cache.%d", i), cache)); err != nil {
					t.Fatal(err)
				}
				nodes[fmt.Sprintf("router.%d", i)] = r.Logits
			}
			if nodes[fmt.Sprintf("hidden.%d", len(m.Blocks))], err = m.Norm.Fwd(x); err != nil {
				t.Fatal(err)
			}
			machine := gorgonia.NewTapeMachine(graph)
			defer machine.Close()
			if err := machine.RunAll(); err != nil {
				t.Fatal(err)
			}
			for name, node := range nodes {
				got, err := backend.Slice[float32](node.Value())
				if err != nil {
					t.Fatal(err)
				}
				g.near(t, name, got, g.float32s(t, name))
			}
		})
	}
}

// golden is a file of reference outputs.
type golden struct {
	*checkpoint.File
	largest float64
}

// near holds got against the reference.
func (g golden) near(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", name, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= g.largest) {
			t.Fatalf("%s: number %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func (g golden) bytes(t *testing.T, name string, want checkpoint.DType) []byte {
	t.Helper()
	x, err := g.Tensor(name)
	if err != nil || x.DType != want {
		t.Fatalf("%s is %v, want %v: %v", name, x.DType, want, err)
	}
	return x.Data
}

func (g golden) float32s(t *testing.T, name string) (values []float32) {
	t.Helper()
	for b := range slices.Chunk(g.bytes(t, name, checkpoint.F32), 4) {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return values
}

func (g golden) int32s(t *testing.T, name string) (values []int32) {
	t.Helper()
	for b := range slices.Chunk(g.bytes(t, name, checkpoint.I32), 4) {
		values = append(values, int32(binary.LittleEndian.Uint32(b)))
	}
	return values
}

// load opens a checkpoint until the test ends.
func load(t *testing.T, dir string) *Model {
	t.Helper()
	c, err := checkpoint.ReadConfig(filepath.Join(dir, checkpoint.ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { weights.Close() })
	m, err := Load(c, weights)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openFile(t *testing.T, path string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func session(t *testing.T, m *Model, capacity int) *Session {
	t.Helper()
	s, err := m.NewSession(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// argmax is the first of the greatest numbers.
func argmax(values []float32) int32 {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return int32(best)
}
