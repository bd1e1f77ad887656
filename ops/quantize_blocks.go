package ops

import (
	"fmt"

	"github.com/gorgonia/moe/internal/hugepages"
	"github.com/gorgonia/moe/ops/backend"
)

// Formats of weights in blocks of 32 elements.
const (
	Q8_0 = backend.Q8_0
	Q4_0 = backend.Q4_0
)

// QuantizeBlocks makes a weight of 8.5 or 4.5 bits an element of w, (N,D) or (E,N,D): blocks of 32 neighbours along D that share a
// scale. backend.BlockFormat.Narrow says how numbers are rounded and how far off that is. w is float32, BFloat16 or Float16, a
// tensor or an ExpertStack; of a stack the result is one value (E,N,D). A w on a device is copied to the host, where the result
// lives. The result takes w's place in Linear, GroupedMatMul and Experts; it counts as float32. Its Unpack goes the other way.
//
// A NaN, an infinity or a number too large for a scale of float16 is an ErrValue that tells its place. The same w gives the same
// bytes.
func QuantizeBlocks(w backend.Value, format backend.BlockFormat) (*backend.BlockQuantized, error) {
	w, q, err := blocksFor(w, format)
	if err != nil {
		return nil, fmt.Errorf("quantize blocks: %w", err)
	}
	if err := backend.Dispatch(backend.Host, "quantize blocks", func(b backend.QuantizeBlocks) error { return b.QuantizeBlocks(q, w) }); err != nil {
		return nil, err
	}
	return q, nil
}

// blocksFor is w on the host, contiguous, and memory for its blocks.
func blocksFor(w backend.Value, format backend.BlockFormat) (backend.Value, *backend.BlockQuantized, error) {
	if err := backend.CheckValue(w); err != nil {
		return nil, nil, fmt.Errorf("w %w", err)
	}
	if !format.Valid() {
		return nil, nil, fmt.Errorf("format %d is unknown: %w", format, backend.ErrParameter)
	}
	shape := w.Shape()
	n := len(shape)
	if n != 2 && n != 3 {
		return nil, nil, fmt.Errorf("w has shape %v, want (N,D) or (E,N,D): %w", shape, backend.ErrShape)
	}
	w, err := backend.To(backend.Host, w)
	if err != nil {
		return nil, nil, err
	}
	if bytes, err := backend.TensorBytes(w.Dtype(), shape); err != nil {
		return nil, nil, err
	} else if uintptr(bytes) > w.MemSize() {
		return nil, nil, fmt.Errorf("w is a %T of shape %v in %d bytes, want a tensor or an ExpertStack of such: %w", w, shape, w.MemSize(), backend.ErrValue)
	}
	if w, err = contiguous(w); err != nil {
		return nil, nil, err
	}
	data := make([]byte, backend.Elements(shape[:n-1])*format.RowBytes(shape[n-1]))
	hugepages.Want(data)
	q, err := backend.NewBlockQuantized(format, shape, data)
	return w, q, err
}

// contiguous is a weight on the host whose tensors are contiguous.
func contiguous(w backend.Value) (backend.Value, error) {
	s, ok := w.(*backend.ExpertStack)
	if !ok {
		return backend.Contiguous(w)
	}
	parts := s.Parts()
	for i, p := range parts {
		var err error
		if parts[i], err = backend.Contiguous(p); err != nil {
			return nil, err
		}
	}
	return s.With(parts)
}
