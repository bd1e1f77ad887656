package layers_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
)

// A layer of two experts: one gives 3x² and one −x² for what the router sends to it.
func Example() {
	matrix := func(rows, cols int, data ...float32) *tensor.Dense {
		return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	}
	// silu(50·x)·(x/50) is x² for an x well above 0; W2 gives it a factor.
	experts := []layers.Expert{
		{W1: matrix(1, 1, 50), W3: matrix(1, 1, 0.02), W2: matrix(1, 1, 3)},
		{W1: matrix(1, 1, 50), W3: matrix(1, 1, 0.02), W2: matrix(1, 1, -1)},
	}
	router := matrix(2, 1, 1, -1) // expert 0 for a positive x
	layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 1, Gates: ops.SoftmaxTopK}, router, experts)
	if err != nil {
		log.Fatal(err)
	}

	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(3, 1),
		gorgonia.WithValue(matrix(3, 1, 1, 2, 4)))
	y, err := layer.Fwd(x)
	if err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(y.Value().Data())
	if err := machine.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: [3 12 48]
}
