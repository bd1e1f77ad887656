package backend_test

import (
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
	"gorgonia.org/tensor"
)

// Weights are kept in bfloat16, in a tensor of its dtype, and widened where they are needed.
func ExampleNarrow() {
	weights := tensor.New(tensor.Of(backend.BFloat16), tensor.WithShape(2, 2))
	elements := weights.Data().([]backend.BF16)
	backend.Narrow(elements, []float32{1, 0.1, -3.14159, 1e-3})
	fmt.Println(weights.Dtype(), elements)

	wide := make([]float32, len(elements))
	n := backend.Widen(wide, elements)
	fmt.Println(n, wide)
	// Output:
	// BF16 [1 0.100097656 -3.140625 0.0009994507]
	// 4 [1 0.100097656 -3.140625 0.0009994507]
}

// A magnitude above the greatest one of the format becomes that one, in contrast to F16, which has infinities.
func ExampleToF8E4M3() {
	fmt.Println(backend.ToF8E4M3(449), backend.ToF8E4M3(-1e6), backend.ToF16(1e6))
	// Output: 448 -448 +Inf
}
