package backend

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// PlanRow names the dtype of a Plan in the graph: one element for each of the R rows, what RowSlot and RowExpert hold for it.
type PlanRow struct{ Slot, Expert int32 }

// PlanDtype is the dtype of a plan's node; its shape is (R).
var PlanDtype = tensor.Dtype{Type: reflect.TypeFor[PlanRow]()}

// Plan says where every routed row goes. Row r of the permuted matrix (R,H) is the copy of token RowSlot[r]/K for expert
// RowExpert[r]. It is one value of a graph: a [Composite] of int32 tensors that all live on one device.
//
// What holds for every plan of every backend:
//   - The rows of expert e are Offsets[e] ≤ r < Offsets[e]+Counts[e], in ascending order of slot t·K+k. The rest of its
//     segment up to Offsets[e+1] is padding, as are the rows from Offsets[E] to R.
//   - Offsets[0] = 0, Offsets[e+1] = Offsets[e] + ⌈Counts[e]/A⌉·A, and Offsets[E] ≤ R.
//   - RowSlot and RowExpert hold −1 for padding; SlotRow holds −1 for a slot whose expert is not here.
//   - Otherwise SlotRow[t·K+k] = r and RowSlot[r] = t·K+k are inverse to each other.
type Plan struct {
	Tokens  int // T
	Slots   int // K
	Experts int // E, the experts that are here
	Align   int // A
	Rows    int // R

	SlotRow   Value // (T,K) the row of each slot
	RowSlot   Value // (R) the slot t·K+k of each row
	RowExpert Value // (R) the expert of each row
	Offsets   Value // (E+1) the first row of each expert's segment
	Counts    Value // (E) the rows of each expert, without padding
}

// NewPlan allocates the tables of a plan on d; a Planner fills them.
func NewPlan(d Device, tokens, slots, experts, align, rows int) (*Plan, error) {
	if err := checkDevice(d); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p := &Plan{Tokens: tokens, Slots: slots, Experts: experts, Align: align, Rows: rows}
	for _, t := range p.tables() {
		v, err := d.New(tensor.Int32, t.shape())
		if err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		*t.value = v
	}
	return p, nil
}

// Check holds the tables of the plan, none of which may be nil, to the sizes that it states: stages allocate and index by them. A
// table of another shape is an ErrShape, of another dtype than int32 an ErrDtype. What the tables hold is not looked at.
func (p *Plan) Check() error {
	for _, t := range p.tables() {
		v := *t.value
		if !slices.Equal(v.Shape(), t.dims[:t.rank]) {
			return fmt.Errorf("the plan's %s has shape %v, want %v: %w", t.name, v.Shape(), t.shape(), ErrShape)
		}
		if v.Dtype() != tensor.Int32 {
			return fmt.Errorf("the plan's %s is %v, want int32: %w", t.name, v.Dtype(), ErrDtype)
		}
	}
	return nil
}

// planTable is a table of a plan and the shape that the plan's sizes give it.
type planTable struct {
	name  string
	value *Value
	dims  [2]int
	rank  int
}

func (t planTable) shape() tensor.Shape { return slices.Clone(t.dims[:t.rank]) }

// tables lists the tables in the order of Parts.
func (p *Plan) tables() [5]planTable {
	return [...]planTable{
		{"SlotRow", &p.SlotRow, [2]int{p.Tokens, p.Slots}, 2},
		{"RowSlot", &p.RowSlot, [2]int{p.Rows}, 1},
		{"RowExpert", &p.RowExpert, [2]int{p.Rows}, 1},
		{"Offsets", &p.Offsets, [2]int{p.Experts + 1}, 1},
		{"Counts", &p.Counts, [2]int{p.Experts}, 1},
	}
}

// RowBound is the least R that holds any routing of tokens·slots slots to experts, each expert's segment a multiple of
// align:
//
//	N = T·K,  m = min(E, N),  R = A·(m + ⌊(N−m)/A⌋)
//
// m experts take one row each and so at least one block of A; every further A rows can open one more block.
func RowBound(tokens, slots, experts, align int) (int, error) {
	if tokens < 0 || slots < 0 || experts < 0 || align < 1 {
		return 0, fmt.Errorf("plan: T=%d K=%d E=%d A=%d, want T, K, E ≥ 0 and A ≥ 1: %w", tokens, slots, experts, align, ErrParameter)
	}
	if slots > 0 && tokens > math.MaxInt32/slots {
		return 0, fmt.Errorf("plan: T·K = %d·%d exceeds %d rows: %w", tokens, slots, math.MaxInt32, ErrParameter)
	}
	n := tokens * slots
	m := min(experts, n)
	if m == 0 {
		return 0, nil
	}
	most := m + (n-m)/align
	if most > math.MaxInt32/align {
		return 0, fmt.Errorf("plan: %d blocks of %d rows exceed %d rows: %w", most, align, math.MaxInt32, ErrParameter)
	}
	return most * align, nil
}

// RowsForCounts is the exact R of a routing whose counts an expert are known: Σ_e ⌈counts[e]/A⌉·A.
func RowsForCounts(counts []int32, align int) (int, error) {
	if align < 1 {
		return 0, fmt.Errorf("plan: alignment %d, want ≥ 1: %w", align, ErrParameter)
	}
	rows := 0
	for e, c := range counts {
		if c < 0 {
			return 0, fmt.Errorf("plan: expert %d has %d rows, want ≥ 0: %w", e, c, ErrParameter)
		}
		n := blocks(int(c), align)
		if n > (math.MaxInt32-rows)/align {
			return 0, fmt.Errorf("plan: %d blocks of %d rows after %d exceed %d rows: %w", n, align, rows, math.MaxInt32, ErrParameter)
		}
		rows += n * align
	}
	return rows, nil
}

// Parts implements Composite.
func (p *Plan) Parts() []Value {
	return []Value{p.SlotRow, p.RowSlot, p.RowExpert, p.Offsets, p.Counts}
}

// With implements Composite.
func (p *Plan) With(parts []Value) (Value, error) {
	if len(parts) != 5 {
		return nil, fmt.Errorf("plan: %d parts, want 5: %w", len(parts), ErrValue)
	}
	q := *p
	q.SlotRow, q.RowSlot, q.RowExpert, q.Offsets, q.Counts = parts[0], parts[1], parts[2], parts[3], parts[4]
	return &q, nil
}

// Shape is (R).
func (p *Plan) Shape() tensor.Shape { return tensor.Shape{p.Rows} }

// Size is R.
func (p *Plan) Size() int { return p.Rows }

// Dtype is PlanDtype.
func (p *Plan) Dtype() tensor.Dtype { return PlanDtype }

// Type is the type of a plan's node.
func (p *Plan) Type() hm.Type { return gorgonia.TensorType{Dims: 1, Of: PlanDtype} }

// Data is the plan itself.
func (p *Plan) Data() interface{} { return p }

// Uintptr is the address of SlotRow, 0 if it is empty.
func (p *Plan) Uintptr() uintptr { return addressOf(p.SlotRow) }

// MemSize is the sum over the parts, in bytes.
func (p *Plan) MemSize() uintptr { return partsSize(p) }

// Clone copies the tables. It implements gorgonia.CloneErrorer.
func (p *Plan) Clone() (interface{}, error) { return cloneParts(p) }

// ZeroValue implements gorgonia.ZeroValuer: it sets the tables to zero. A LispMachine asks it of the clone that it takes for a
// derivative, which a plan does not have.
func (p *Plan) ZeroValue() Value { return zeroParts(p) }

// Format implements fmt.Formatter: a line with the sizes.
func (p *Plan) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "Plan{T=%d K=%d E=%d A=%d R=%d on %v}", p.Tokens, p.Slots, p.Experts, p.Align, p.Rows, DeviceOf(p))
}

func addressOf(v Value) uintptr {
	if Elements(v.Shape()) == 0 {
		return 0
	}
	return v.Uintptr()
}

func partsSize(c Composite) uintptr {
	var n uintptr
	for _, p := range c.Parts() {
		if Elements(p.Shape()) > 0 {
			n += p.MemSize()
		}
	}
	return n
}

func cloneParts(c Composite) (Value, error) {
	parts := c.Parts()
	clones := make([]Value, len(parts))
	for i, p := range parts {
		if d, ok := p.(*tensor.Dense); ok && Elements(d.Shape()) == 0 {
			clones[i] = tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(d.Shape().Clone()...))
			continue
		}
		clone, err := gorgonia.CloneValue(p)
		if err != nil {
			return nil, err
		}
		clones[i] = clone
	}
	return c.With(clones)
}

func zeroParts(c Composite) Value {
	for _, p := range c.Parts() {
		if Elements(p.Shape()) > 0 {
			gorgonia.ZeroValue(p)
		}
	}
	return c
}
