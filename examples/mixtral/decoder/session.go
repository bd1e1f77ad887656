package decoder

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// ErrContext says that a text is longer than the model's context or the session's room.
var ErrContext = errors.New("text too long")

// Session is one text in progress: the key/value caches of every layer and how far they are filled. It is not safe for
// concurrent use; sessions of one model are independent of each other.
type Session struct {
	model    *Model
	caches   []*backend.KVCache
	capacity int
	filled   int
	step     *graph    // one token; made at the first step and used for all
	load     [][]int64 // tokens that went to each expert, layer by layer; nil if they are not counted
}

// NewSession makes a session with room for capacity tokens, at most the model's context.
func (m *Model) NewSession(capacity int) (*Session, error) {
	if capacity > m.Config.MaxPositions {
		return nil, fmt.Errorf("%d tokens, the model's context is %d (max_position_embeddings): %w", capacity, m.Config.MaxPositions, ErrContext)
	}
	s := &Session{model: m, capacity: capacity}
	for _, b := range m.Blocks {
		c, err := b.Attention.NewCache(capacity)
		if err != nil {
			return nil, err
		}
		s.caches = append(s.caches, c)
	}
	return s, nil
}

// Append runs tokens at the end of the text and gives the logits (vocabulary) that follow the last of them, valid until the
// session's next call.
func (s *Session) Append(ids ...int32) ([]float32, error) {
	return s.run(ids, false)
}

// AppendAll is Append that gives the logits after every token: (len(ids), vocabulary), row-major.
func (s *Session) AppendAll(ids ...int32) ([]float32, error) { return s.run(ids, true) }

// Len is the number of tokens so far.
func (s *Session) Len() int { return s.filled }

// CountLoad makes the session count from now on which experts its tokens go to. That copies a few numbers from the device to the
// host for each layer after every step, which on a GPU waits for each.
func (s *Session) CountLoad() {
	if s.load != nil {
		return
	}
	s.load = make([][]int64, len(s.model.Blocks))
	for i := range s.load {
		s.load[i] = make([]int64, s.model.Config.NumExperts)
	}
}

// Load is the number of token slots that went to each expert since CountLoad, layer by layer. It is nil without that.
func (s *Session) Load() [][]int64 {
	if s.load == nil {
		return nil
	}
	out := make([][]int64, len(s.load))
	for i, l := range s.load {
		out[i] = slices.Clone(l)
	}
	return out
}

func (s *Session) run(ids []int32, all bool) ([]float32, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("no tokens to run: %w", backend.ErrShape)
	}
	if len(ids) > s.capacity-s.filled {
		return nil, fmt.Errorf("%d tokens after %d, room for %d: %w", len(ids), s.filled, s.capacity, ErrContext)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= s.model.Config.VocabSize {
			return nil, fmt.Errorf("token %d has id %d, want one in [0,%d): %w", i, id, s.model.Config.VocabSize, backend.ErrIndex)
		}
	}
	g := s.step
	if g == nil || len(ids) != 1 {
		var err error
		if g, err = s.model.build(s.caches, len(ids), all); err != nil {
			return nil, err
		}
		if len(ids) == 1 {
			s.step = g
		} else {
			defer g.close()
		}
	}
	logits, err := g.run(ids, s.filled)
	if err != nil {
		return nil, err
	}
	s.filled += len(ids)
	if s.load != nil {
		err = g.count(s.load)
	}
	return logits, err
}

// Close frees the session's graph.
func (s *Session) Close() error {
	if s.step == nil {
		return nil
	}
	err := s.step.close()
	s.step = nil
	return err
}

// graph is the model over a fixed number of tokens.
type graph struct {
	machine        gorgonia.VM
	ids, positions []int32 // the inputs' memory
	logits         *gorgonia.Node
	routing        []layers.Routing
}

// build makes the graph of n tokens; it computes the logits after all of them or after the last.
func (m *Model) build(caches []*backend.KVCache, n int, all bool) (*graph, error) {
	b := &graph{ids: make([]int32, n), positions: make([]int32, n)}
	g := gorgonia.NewGraph()
	vector := func(name string, v []int32) (*gorgonia.Node, error) {
		return layers.Input(g, name, tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v)))
	}
	ids, err := vector("ids", b.ids)
	if err != nil {
		return nil, err
	}
	positions, err := vector("positions", b.positions)
	if err != nil {
		return nil, err
	}
	x, err := m.Embedding.Fwd(ids)
	if err != nil {
		return nil, err
	}
	for i, block := range m.Blocks {
		cache, err := layers.Input(g, fmt.Sprintf("layers.%d.cache", i), caches[i])
		if err != nil {
			return nil, err
		}
		var r layers.Routing
		if x, r, err = block.Fwd(x, positions, cache); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		b.routing = append(b.routing, r)
	}
	if !all && n > 1 {
		last, err := vector("last", []int32{int32(n - 1)})
		if err != nil {
			return nil, err
		}
		if x, err = ops.Embedding(tensor.Float32, x, last); err != nil {
			return nil, err
		}
	}
	if x, err = m.Norm.Fwd(x); err != nil {
		return nil, err
	}
	if b.logits, err = m.Head.Fwd(x); err != nil {
		return nil, err
	}
	b.machine = gorgonia.NewTapeMachine(g)
	return b, nil
}

// run computes the logits of tokens that begin at a position.
func (b *graph) run(ids []int32, from int) ([]float32, error) {
	copy(b.ids, ids)
	for i := range b.positions {
		b.positions[i] = int32(from + i)
	}
	b.machine.Reset()
	if err := b.machine.RunAll(); err != nil {
		return nil, err
	}
	host, err := backend.To(backend.Host, b.logits.Value())
	if err != nil {
		return nil, err
	}
	return backend.Slice[float32](host)
}

// count adds the rows that each expert got in the last run to load, layer by layer.
func (b *graph) count(load [][]int64) error {
	for i, r := range b.routing {
		counts, err := backend.To(backend.Host, r.Plan.Value().(*backend.Plan).Counts)
		if err != nil {
			return err
		}
		n, err := backend.Slice[int32](counts)
		if err != nil {
			return err
		}
		for e, c := range n {
			load[i][e] += int64(c)
		}
	}
	return nil
}

func (b *graph) close() error { return b.machine.Close() }
