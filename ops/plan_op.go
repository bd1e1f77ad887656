package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// PlanConfig are the hyper-parameters of Plan.
type PlanConfig struct {
	// Experts is E, the number of experts that are here: the first dimension of the weights.
	Experts int
	// Align is A: every expert's segment of rows begins and ends at a multiple of it. 0 means 1.
	Align int
	// Rows is R, the rows of the permuted matrix. 0 means the least number that holds any routing (backend.RowBound). When
	// the counts an expert are known on the host, backend.RowsForCounts gives the exact number. A routing that needs more
	// is an error when the op runs.
	Rows int
}

// Plan turns a routing into places: where every routed row goes in the permuted matrix, and back. ids is (T,K) int32; the
// plan has shape (R) and dtype backend.PlanDtype, and its node goes into Permute, GroupedMatMul and Unpermute. What a plan
// holds is said at backend.Plan. It is deterministic: rows of one expert are in token order on every backend.
//
// expertMap, if it is not nil, is an (E global) int32 vector that sends an expert's id to its number here, −1 if it is
// elsewhere: the plan is then one rank's part of the routing. An id −1 is not here. Any other id out of range is an error
// (backend.ErrExpertID) that names token, slot and value.
func Plan(ids, expertMap *gorgonia.Node, c PlanConfig) (*gorgonia.Node, error) {
	if expertMap == nil {
		return apply(plan{c}, ids)
	}
	return apply(plan{c}, ids, expertMap)
}

// EvalPlan is Plan on values, without a graph.
func EvalPlan(ids, expertMap backend.Value, c PlanConfig) (*backend.Plan, error) {
	in := []backend.Value{ids}
	if expertMap != nil {
		in = append(in, expertMap)
	}
	v, err := eval(plan{c}, in...)
	if err != nil {
		return nil, err
	}
	return v.(*backend.Plan), nil
}

type plan struct{ PlanConfig }

func (plan) name() string { return "Plan" }
func (s plan) spec() string {
	if s.Rows != 0 {
		return fmt.Sprintf("E=%d A=%d R=%d", s.Experts, s.align(), s.Rows)
	}
	return fmt.Sprintf("E=%d A=%d", s.Experts, s.align())
}

func (s plan) align() int { return max(s.Align, 1) }

func (s plan) infer(in []operand) (operand, error) {
	const most = math.MaxInt32 // of rows and experts: the tables hold int32
	if s.Experts < 1 || s.Experts > most || s.Align < 0 || s.Align > most || s.Rows < 0 || s.Rows > most {
		return operand{}, fmt.Errorf("plan: E = %d, A = %d, R = %d, want 1 ≤ E ≤ %d, 0 ≤ A ≤ %[4]d, 0 ≤ R ≤ %[4]d: %w",
			s.Experts, s.Align, s.Rows, most, backend.ErrParameter)
	}
	if err := wantRank("plan", "ids (T,K)", in[0], 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("plan", "ids", in[0], tensor.Int32); err != nil {
		return operand{}, err
	}
	if len(in) > 1 {
		if err := wantRank("plan", "expert map", in[1], 1); err != nil {
			return operand{}, err
		}
		if err := wantDtype("plan", "expert map", in[1], tensor.Int32); err != nil {
			return operand{}, err
		}
	}
	align := s.align()
	if s.Rows > 0 {
		align = 1 // then the bound is T·K: the tables number the slots, whatever the rows are
	}
	rows, err := backend.RowBound(in[0].shape[0], in[0].shape[1], s.Experts, align)
	if err != nil {
		return operand{}, err
	}
	if s.Rows > 0 {
		rows = s.Rows
	}
	return operand{dtype: backend.PlanDtype, shape: tensor.Shape{rows}}, nil
}

func (s plan) make(dev backend.Device, out operand, in []backend.Value, reuse backend.Value) (backend.Value, error) {
	t, k, r := in[0].Shape()[0], in[0].Shape()[1], out.shape[0]
	if p, ok := reuse.(*backend.Plan); ok && p.Tokens == t && p.Slots == k && p.Experts == s.Experts &&
		p.Align == s.align() && p.Rows == r && backend.DeviceOf(p) == dev {
		if _, err := planOf("plan", operand{dtype: p.Dtype(), shape: p.Shape(), value: p}); err == nil {
			return p, nil
		}
	}
	return backend.NewPlan(dev, t, k, s.Experts, s.align(), r)
}

func (plan) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	var expertMap backend.Value
	if len(in) > 1 {
		expertMap = in[1]
	}
	return backend.Dispatch(dev, "plan", func(b backend.Planner) error { return b.Plan(out.(*backend.Plan), in[0], expertMap) })
}
