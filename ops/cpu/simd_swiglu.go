package cpu

import (
	"github.com/gorgonia/moe/ops/backend"
)

// SwiGLU implements backend.SwiGLU for x and out of float32 or of bfloat16. Each element is computed in float32 within 4 units in
// the last place, a bfloat16 one is rounded from there. Of a subnormal gate it is silu that is within 4 of the least subnormal,
// before the factor.
func (s simd) SwiGLU(out, x backend.Value) error {
	if s.k.swiglu == nil || x == nil || len(x.Shape()) != 2 || x.Shape()[1]%2 != 0 {
		return s.rowsUnsupported("swiglu")
	}
	rows, width := x.Shape()[0], x.Shape()[1]/2
	if !swigluRows[float32](s.k, out, x, rows, width) && !swigluRows[uint16](s.k, out, x, rows, width) {
		return s.rowsUnsupported("swiglu")
	}
	return nil
}

func swigluRows[E row](k *kernels, out, x backend.Value, rows, width int) bool {
	l := getLoop[vectorActivation[E]]()
	defer l.free()
	var okOut, okX bool
	l.s.out, okOut = bitsOf[E](out, rows, width)
	l.s.x, okX = bitsOf[E](x, rows, 2*width)
	if !okOut || !okX {
		return false
	}
	l.s.k, l.s.width, l.s.across = k, width, pieces(width, swigluStretch)
	l.run(rows*l.s.across, 1<<14/swigluStretch)
	return true
}

// swigluStretch is the elements of a row that are computed at a time.
const swigluStretch = 1 << 10

type vectorActivation[E row] struct {
	k             *kernels
	out, x        []E
	width, across int // of out, in elements and in stretches
}

func (a *vectorActivation[E]) span(from, to int) {
	work := getWorkspace()
	defer workspaces.Put(work)
	for i := from; i < to; i++ {
		r, at := i/a.across, i%a.across*swigluStretch
		n := min(swigluStretch, a.width-at)
		gate := a.x[2*r*a.width+at:][:n]
		a.stretch(work, a.out[r*a.width+at:][:n], gate, a.x[(2*r+1)*a.width+at:][:n])
	}
}

func (a *vectorActivation[E]) stretch(work *workspace, out, gate, up []E) {
	work.c = grown(work.c, 2*swigluStretch)
	gates, ups := work.c[:swigluStretch], work.c[swigluStretch:]
	switch out := any(out).(type) {
	case []float32:
		gate, up := any(gate).([]float32), any(up).([]float32)
		whole := len(out) / a.k.lanes * a.k.lanes
		if whole > 0 {
			a.k.swiglu(&gate[0], &up[0], &out[0], whole)
		}
		if rest := out[whole:]; len(rest) > 0 {
			copy(gates, gate[whole:])
			copy(ups, up[whole:])
			a.k.activate(gates, ups, len(rest))
			copy(rest, gates)
		}
	case []uint16:
		widenRow(a.k, gates, any(gate).([]uint16))
		widenRow(a.k, ups, any(up).([]uint16))
		a.k.activate(gates, ups, len(out))
		narrowRow(a.k, out, gates)
	}
}

// activate replaces n gates by silu(gate[i])·up[i]. Of both slices all up to a multiple of lanes are read and what is behind the
// gates is overwritten.
func (k *kernels) activate(gate, up []float32, n int) {
	n = pieces(n, k.lanes) * k.lanes
	k.swiglu(&gate[:n][0], &up[:n][0], &gate[0], n)
}
