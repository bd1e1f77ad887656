package cpu

import (
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// Permute implements backend.Permute as plain Go does. Rows that together are larger than the caches, each a whole number of cache
// lines, are written past the caches, and each token's row is read once for all its slots.
func (s simd) Permute(rows, x backend.Value, p *backend.Plan) error {
	if q, ok := x.(*backend.Quantized); ok {
		return permuteQuantized(s, rows, q, p)
	}
	if s.k.vectors == nil || p == nil {
		return Go{}.Permute(rows, x, p)
	}
	l := getLoop[scattering]()
	defer l.free()
	if l.s.operands(rows, x, p) != nil || !l.s.streams() || !l.s.inverse(p) {
		return Go{}.Permute(rows, x, p) // which puts into words what is wrong
	}
	l.s.v = s.k.vectors
	l.run(l.s.tokens, 1<<18/l.s.width)
	return nil
}

// scattering is a gathering from the side of the tokens, which have the padding rows between them.
type scattering struct {
	gathering
	v       *vectors
	slotRow []int32
}

// streams tells whether the rows can be written past the caches and should be.
func (c *scattering) streams() bool {
	return len(c.rows) > cacheBytes && c.width%lineBytes == 0 && uintptr(unsafe.Pointer(&c.rows[0]))%lineBytes == 0 && c.tokens > 0
}

// inverse tells whether the plan's SlotRow and RowSlot are inverse to each other.
func (c *scattering) inverse(p *backend.Plan) bool {
	var err error
	if c.slotRow, err = elementsOf[int32]("permute", "SlotRow", p.SlotRow, p.Tokens, p.Slots); err != nil {
		return false
	}
	for s, r := range c.slotRow {
		if r != -1 && (r < 0 || int(r) >= len(c.rowSlot) || int(c.rowSlot[r]) != s) {
			return false
		}
	}
	return routed(c.slotRow) == routed(c.rowSlot)
}

// span writes the rows of some tokens, and as large a part of the padding.
func (c *scattering) span(lo, hi int) {
	for t := lo; t < hi; t++ {
		from := &c.x[t*c.width]
		for _, r := range c.slotRow[t*c.slots : (t+1)*c.slots] {
			if r >= 0 {
				c.v.stream(&c.rows[int(r)*c.width], from, c.width)
			}
		}
	}
	for r := lo * len(c.rowSlot) / c.tokens; r < hi*len(c.rowSlot)/c.tokens; r++ {
		if c.rowSlot[r] == -1 {
			clear(c.rows[r*c.width : (r+1)*c.width])
		}
	}
	c.v.fence()
}
