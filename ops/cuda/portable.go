//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

// Portable is the backend of kernels that run on every GPU of compute capability 8.0 or more. It has no state. All stages are
// deterministic; sums run in float32, in float64 for float64 operands. Operands of dtypes that a stage has no kernel for are
// declined.
type Portable struct{}

// Name is "cuda/portable".
func (Portable) Name() string { return "cuda/portable" }

func init() { backend.Register("cuda", 0, Portable{}) }

// blocks is ⌈n/share⌉: how many shares there are in n.
func blocks(n, share int) int { return (n + share - 1) / share }

// packedBytes is what a warp of the elementwise kernels moves at a time: two packs of 16 bytes a thread.
const packedBytes = 2 * 32 * 16

// chunked is the shape of a kernel of so many warps a block, in which a warp has packedBytes of a row.
func chunked(rows, rowBytes, warps int) shape {
	return shape{grid: [3]int{blocks(rows*blocks(rowBytes, packedBytes), warps)}, block: 32 * warps}
}

// elementSize is the size of an element in bytes.
func (o operand) elementSize() int { return int(o.dtype.Size()) }
