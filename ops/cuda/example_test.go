package cuda_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda"
)

// A graph of Gorgonia's that runs on the GPU because its weight lies there.
func Example() {
	device, err := cuda.Open(0)
	if err != nil {
		log.Fatal(err)
	}
	weight, err := backend.To(device, tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{1, 1, 2, 2})))
	if err != nil {
		log.Fatal(err)
	}
	g := gorgonia.NewGraph()
	w := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(4), gorgonia.WithValue(weight))
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(1, 4))
	y, err := ops.RMSNorm(x, w, 1e-6)
	if err != nil {
		log.Fatal(err)
	}
	if err := gorgonia.Let(x, tensor.New(tensor.WithShape(1, 4), tensor.WithBacking([]float32{1, -1, 1, -1}))); err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(y.Value()) // copied to the host to be printed
	machine.Close()
}

// A whole run of a TapeMachine that is recorded once and replayed with new inputs.
func ExampleCapture() {
	device, err := cuda.Open(0)
	if err != nil {
		log.Fatal(err)
	}
	upload := func(shape tensor.Shape, elements []float32) *cuda.Array {
		v, err := device.Upload(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(elements)))
		if err != nil {
			log.Fatal(err)
		}
		return v.(*cuda.Array)
	}
	input, weight := upload(tensor.Shape{1, 4}, []float32{1, -1, 1, -1}), upload(tensor.Shape{4}, []float32{1, 1, 2, 2})

	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(1, 4), gorgonia.WithValue(input))
	w := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(4), gorgonia.WithValue(weight))
	y, err := ops.RMSNorm(x, w, 1e-6)
	if err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	run, err := cuda.Capture(device, machine.RunAll)
	if err != nil {
		log.Fatal(err)
	}
	for _, elements := range [][]float32{{1, 2, 3, 4}, {5, 6, 7, 8}} {
		if err := input.CopyFrom(tensor.New(tensor.WithShape(1, 4), tensor.WithBacking(elements))); err != nil {
			log.Fatal(err)
		}
		if err := run.Replay(); err != nil {
			log.Fatal(err)
		}
		fmt.Println(y.Value())
	}
	run.Close()
	machine.Close()
}
