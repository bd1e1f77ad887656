package cpu

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TopK implements backend.TopK for logits (T,E) F and ids (T,K), K ≤ E. The order is total: larger logits first, then NaNs,
// and among equal logits (or NaNs) the lower id; −0 equals +0. So every row of ids holds K different experts whatever the
// logits are. Float64 logits are compared as float64. It takes O(E+K²) steps a token for logits in random order and O(E·K)
// for ascending ones.
func (Go) TopK(ids, logits backend.Value) error {
	tokens, experts, err := matrixDims("topk", "logits", logits)
	if err != nil {
		return err
	}
	_, slots, err := matrixDims("topk", "ids", ids)
	if err != nil {
		return err
	}
	if slots > experts {
		return fmt.Errorf("topk: K = %d of E = %d experts, want K ≤ E: %w", slots, experts, backend.ErrShape)
	}
	if experts > math.MaxInt32 {
		return fmt.Errorf("topk: E = %d experts, ids of int32 reach %d: %w", experts, math.MaxInt32, backend.ErrShape)
	}
	table, err := elementsOf[int32]("topk", "ids", ids, tokens, slots)
	if err != nil {
		return err
	}
	if logits.Dtype() == tensor.Float64 {
		return topK[float64](table, logits, tokens, experts, slots)
	}
	return topK[float32](table, logits, tokens, experts, slots)
}

func topK[A accumulator](ids []int32, logits backend.Value, tokens, experts, slots int) error {
	l := getLoop[choosing[A]]()
	defer l.free()
	l.s.ids, l.s.experts, l.s.slots = ids, experts, slots
	var err error
	if l.s.logits, err = floatsOf[A]("topk", "logits", logits, tokens, experts); err != nil || slots == 0 {
		return err
	}
	l.run(tokens, 1<<12/max(experts, 1))
	return nil
}

type choosing[A accumulator] struct {
	ids            []int32   // (T,K)
	logits         floats[A] // (T,E)
	experts, slots int
}

func (c *choosing[A]) span(lo, hi int) {
	var buf [tile]A
	best := getScratch[A](c.slots)
	defer putScratch(best)
	for t := lo; t < hi; t++ {
		chosen := selection[A]{ids: c.ids[t*c.slots : (t+1)*c.slots], logits: *best}
		for e := 0; e < c.experts; e += tile {
			chosen.offer(e, c.logits.read(t*c.experts+e, t*c.experts+min(e+tile, c.experts), buf[:]))
		}
	}
}

// selection holds the n best experts so far, best first.
type selection[A accumulator] struct {
	n      int
	ids    []int32
	logits []A
}

// offer shows the logits of the experts from first on to the selection; experts must come in ascending order.
func (s *selection[A]) offer(first int, logits []A) {
	last := len(s.ids) - 1
	for i, l := range logits {
		at := s.n
		switch {
		case at <= last:
			s.n++
		case above(l, s.logits[last]):
			at = last
		default:
			continue
		}
		for ; at > 0 && above(l, s.logits[at-1]); at-- {
			s.logits[at], s.ids[at] = s.logits[at-1], s.ids[at-1]
		}
		s.logits[at], s.ids[at] = l, int32(first+i)
	}
}

// above reports whether a is strictly before b, NaN being after every number.
func above[A accumulator](a, b A) bool {
	return a > b || math.IsNaN(float64(b)) && !math.IsNaN(float64(a))
}
