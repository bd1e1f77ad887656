//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// GroupedMatMul implements backend.GroupedMatMul: rows are F or Quantized, w is F, Quantized or an ExpertStack of F, out is F,
// in any mixture. Products of BFloat16 or Float16 with themselves run on tensor cores if D is a multiple of 8.
//
// An ExpertStack needs a table on the device, which is made when it is first used; that cannot be while a graph is captured.
func (Portable) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	c := call{stage: "groupedmatmul"}
	defer c.done()
	dst := c.operand("out (R,N)", out, 2)
	if c.wantPlan(p); c.err != nil {
		return c.err
	}
	offsets := c.tensor("Offsets (E+1)", p.Offsets, tensor.Int32, p.Experts+1)
	counts := c.tensor("Counts (E)", p.Counts, tensor.Int32, p.Experts)
	r, n, d := p.Rows, dst.shape[1], 0
	if rows != nil && len(rows.Shape()) == 2 {
		d = rows.Shape()[1]
	}
	c.wantShape(dst, r, n)
	x := c.factor("rows (R,D)", rows, r, d)
	weight := c.factor("w (E,N,D)", w, p.Experts, n, d)
	routed := p.Tokens * p.Slots
	return c.multiply(dst, x, weight, [4]int{r, n, d, p.Experts}, blocks(routed, max(1, min(p.Experts, routed))), offsets, counts)
}
