package cpu

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/internal/hugepages"
	"github.com/gorgonia/moe/ops/backend"
)

// panels is a weight (N,D) or (E,N,D) of float32 or bfloat16 in the order in which the kernels read it. The rows of a matrix
// are cut into panels of 32; a panel holds, step by step along D, the elements of all its rows side by side:
//
//	float32:   panel p, step k, column j = w[32p+j, k]                      steps = D
//	bfloat16:  panel p, step k, column j = w[32p+j, 2k], w[32p+j, 2k+1]     steps = ⌈D/2⌉
//
// Rows and elements that are not there are zero. There may be lines between two panels (see apart). It implements backend.Packed and is
// never changed.
type panels struct {
	shape tensor.Shape
	dtype tensor.Dtype
	steps int
	apart int        // from a panel to the next, in 32-bit elements
	data  [][]uint32 // of each matrix
}

// stepElements is the number of elements along D of a step of a panel.
func stepElements(dt tensor.Dtype) int { return 4 / int(dt.Size()) }

// pack makes panels of w.
func pack(k *kernels, w backend.Value) (*panels, error) {
	var s source
	if w == nil || !s.set(w) {
		return nil, fmt.Errorf("pack weight: %T is no contiguous weight (N,D) or (E,N,D) of float32 or bfloat16: %w", w, backend.ErrUnsupported)
	}
	p := &panels{shape: w.Shape().Clone(), dtype: w.Dtype(), steps: s.steps, apart: apart(s.steps * panelCols)}
	p.data = make([][]uint32, s.matrices)
	across := pieces(s.n, panelCols)
	all := make([]uint32, s.matrices*across*p.apart)
	hugepages.Want(all)
	for e := range p.data {
		p.data[e] = all[e*across*p.apart:][:p.matrix(s.n)]
	}
	parallel(len(p.data)*across, func(i int) {
		e, at := i/across, i%across
		s.panel(k, p.part(e, at*panelCols, 0, p.steps), e, at*panelCols, 0)
	})
	return p, nil
}

// apart is the number of 32-bit elements from a panel of so many to the next. Several panels are read at the same time, and some CPUs
// take up to a quarter more time for it where their distance is a multiple of a high power of two, so these have lines between them that
// nobody reads: docs/notes/cpu-products.md.
func apart(size int) int {
	const multiple, near, between = 16 << 10 / 4, 256 / 4, 4 << 10 / 4
	if (size+near)%multiple <= 2*near {
		return size + between
	}
	return size
}

// matrix is the number of 32-bit elements from the first panel of n rows to the end of the last.
func (p *panels) matrix(n int) int { return (pieces(n, panelCols)-1)*p.apart + p.steps*panelCols }

// part is some steps, from one on, of the panel of matrix e that begins with a column.
func (p *panels) part(e, col, from, steps int) []uint32 {
	return p.data[e][col/panelCols*p.apart+from*panelCols:][:steps*panelCols]
}

// holds tells whether there are panels for all that s says: whoever asked for the shape can write to it.
func (p *panels) holds(s *source) bool {
	return p.steps == s.steps && len(p.data) == s.matrices && len(p.data[0]) == p.matrix(s.n)
}

// Unpack implements backend.Packed: a new tensor of the elements that were packed.
func (p *panels) Unpack() (backend.Value, error) {
	v, err := backend.Host.New(p.dtype, p.shape)
	if err != nil || p.Size() == 0 {
		return v, err
	}
	to, err := backend.Bytes(v)
	if err != nil {
		return nil, err
	}
	n, d := p.shape[len(p.shape)-2], p.shape[len(p.shape)-1]
	size := int(p.dtype.Size())
	split(len(p.data)*n, 16, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := to[i*d*size:][:d*size]
			from := p.data[i/n][i%n/panelCols*p.apart+i%n%panelCols:]
			for k := range d * size / 4 {
				binary.NativeEndian.PutUint32(row[4*k:], from[k*panelCols])
			}
			if rest := row[d*size/4*4:]; len(rest) > 0 {
				binary.NativeEndian.PutUint16(rest, uint16(from[(p.steps-1)*panelCols]))
			}
		}
	})
	return v, nil
}

// Shape is that of the weight.
func (p *panels) Shape() tensor.Shape { return p.shape }

// Size is the number of the weight's elements.
func (p *panels) Size() int { return backend.Elements(p.shape) }

// Dtype is that of the weight.
func (p *panels) Dtype() tensor.Dtype { return p.dtype }

// Type is the type of its node.
func (p *panels) Type() hm.Type { return gorgonia.TensorType{Dims: len(p.shape), Of: p.dtype} }

// Data is the value itself.
func (p *panels) Data() interface{} { return p }

// Uintptr is the address of the first panel, 0 if there is none.
func (p *panels) Uintptr() uintptr {
	if p.MemSize() == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(&p.data[0][0]))
}

// MemSize is the size of all panels in bytes, and of what is between those of a matrix.
func (p *panels) MemSize() uintptr {
	var n uintptr
	for _, m := range p.data {
		n += uintptr(4 * len(m))
	}
	return n
}

// Clone copies the panels. It implements gorgonia.CloneErrorer.
func (p *panels) Clone() (interface{}, error) {
	q := *p
	q.shape, q.data = p.shape.Clone(), slices.Clone(p.data)
	for i := range q.data {
		q.data[i] = slices.Clone(q.data[i])
	}
	return &q, nil
}

// Format implements fmt.Formatter: a line with dtype and shape.
func (p *panels) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "Packed{%v %v in panels of %d}", p.dtype, p.shape, panelCols)
}
