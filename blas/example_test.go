package blas_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/blas"
)

// Once it is in use, all of a program's products of float32 are faster.
func Example() {
	gorgonia.Use(blas.New())

	g := gorgonia.NewGraph()
	matrix := func(name string, rows, cols int, data ...float32) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(rows, cols),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
	}
	y, err := gorgonia.Mul(matrix("a", 2, 3, 1, 2, 3, 4, 5, 6), matrix("b", 3, 2, 1, 0, 0, 1, 1, 1))
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
	// Output: [4 5 10 11]
}
