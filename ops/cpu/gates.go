package cpu

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Gates implements backend.Gates. The softmax is taken relative to the greatest logit it sums over and computed in float64
// whatever the dtype of the logits is.
//
// A slot with id −1 has gate 0, always. What is not finite stays within its token: the gates of the token's other slots are
// NaN if a logit that the softmax sums over is NaN or +Inf, or if all of those are −Inf; a logit of −Inf among finite ones
// has gate 0. SoftmaxTopK sums over the chosen slots. SoftmaxAll and SoftmaxRenormalized look at all E logits, even if
// just SoftmaxAll needs their sum: the common factor of SoftmaxRenormalized is cancelled beforehand, so that its gates do
// not underflow where the chosen experts are far below the best.
func (Go) Gates(gates, logits, ids backend.Value, mode backend.GateMode) error {
	switch mode {
	case backend.SoftmaxTopK, backend.SoftmaxAll, backend.SoftmaxRenormalized:
	default:
		return fmt.Errorf("gates: mode %d, want one of the backend.GateMode constants: %w", int(mode), backend.ErrParameter)
	}
	tokens, experts, err := matrixDims("gates", "logits", logits)
	if err != nil {
		return err
	}
	_, slots, err := matrixDims("gates", "ids", ids)
	if err != nil {
		return err
	}
	l := getLoop[gating]()
	defer l.free()
	g := &l.s
	g.mode, g.experts, g.slots, g.exp = mode, experts, slots, expf
	if logits.Dtype() == tensor.Float64 {
		g.exp = math.Exp
	}
	if g.logits, err = floatsOf[float64]("gates", "logits", logits, tokens, experts); err != nil {
		return err
	}
	if g.ids, err = elementsOf[int32]("gates", "ids", ids, tokens, slots); err != nil {
		return err
	}
	if g.gates, err = elementsOf[float32]("gates", "gates", gates, tokens, slots); err != nil {
		return err
	}
	if slots == 0 {
		return nil
	}
	l.run(tokens, 1<<12/max(experts, slots))
	if at := g.bad.at; g.bad.found {
		return fmt.Errorf("gates: %w", &backend.ExpertIDError{Token: at / slots, Slot: at % slots, ID: int(g.ids[at]), Experts: experts})
	}
	return nil
}

type gating struct {
	mode           backend.GateMode
	experts, slots int
	exp            func(float64) float64
	logits         floats[float64] // (T,E)
	ids            []int32         // (T,K)
	gates          []float32       // (T,K)
	bad            fault
}

func (g *gating) span(lo, hi int) {
	for t := lo; t < hi; t++ {
		if k, ok := g.token(t); !ok {
			g.bad.report(t*g.slots + k)
			return
		}
	}
}

// token computes the gates of token t. Where a slot's id is out of range it returns the slot and false.
func (g *gating) token(t int) (slot int, ok bool) {
	row := t * g.experts
	ids := g.ids[t*g.slots : (t+1)*g.slots]
	gates := g.gates[t*g.slots : (t+1)*g.slots]

	greatest := math.Inf(-1) // of the chosen
	for k, id := range ids {
		if id < -1 || int(id) >= g.experts {
			return k, false
		}
		if id >= 0 {
			greatest = max(greatest, g.logits.at(row+int(id)))
		}
	}
	if g.mode != backend.SoftmaxTopK {
		ofAll := g.greatest(row)
		if g.mode == backend.SoftmaxAll || math.IsNaN(ofAll) || math.IsInf(ofAll, 0) {
			greatest = ofAll
		}
	}
	var sum float64
	if g.mode == backend.SoftmaxAll {
		sum = g.sum(row, greatest)
	} else {
		for _, id := range ids {
			if id >= 0 {
				sum += g.exp(g.logits.at(row+int(id)) - greatest)
			}
		}
	}
	for k, id := range ids {
		gates[k] = 0
		if id >= 0 {
			gates[k] = float32(g.exp(g.logits.at(row+int(id))-greatest) / sum)
		}
	}
	return 0, true
}

// greatest is the greatest of the E logits from row on, NaN if one is NaN.
func (g *gating) greatest(row int) float64 {
	var buf [tile]float64
	m := math.Inf(-1)
	for e := 0; e < g.experts; e += tile {
		for _, l := range g.logits.read(row+e, row+min(e+tile, g.experts), buf[:]) {
			m = max(m, l)
		}
	}
	return m
}

// sum is Σ exp(l − shift) over the E logits from row on.
func (g *gating) sum(row int, shift float64) float64 {
	var buf [tile]float64
	var s float64
	for e := 0; e < g.experts; e += tile {
		for _, l := range g.logits.read(row+e, row+min(e+tile, g.experts), buf[:]) {
			s += g.exp(l - shift)
		}
	}
	return s
}
