package backend_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// W13 of one expert from the tensors of a checkpoint, which stay where they are.
func ExampleStackExperts() {
	w1 := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	w3 := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{7, 8, 9, 10, 11, 12}))
	w13, err := backend.StackExperts([][]backend.Value{{w1, w3}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w13)
	// Output: ExpertStack{float32 (1, 4, 3) on cpu}
}

// A matrix (1,32) as it lies in a file of 8-bit blocks: the scale 0.5 as a float16, then 32 integers.
func ExampleNewBlockQuantized() {
	file := []byte{0x00, 0x38, 1, 2, 3, 0xff, 31: 0, 32: 0, 33: 100}
	w, err := backend.NewBlockQuantized(backend.Q8_0, tensor.Shape{1, 32}, file)
	if err != nil {
		log.Fatal(err)
	}
	plain, err := w.Unpack()
	if err != nil {
		log.Fatal(err)
	}
	numbers := plain.Data().([]float32)
	fmt.Println(w, numbers[:4], numbers[31])
	// Output: BlockQuantized{q8_0 (1, 32)} [0.5 1 1.5 -0.5] 50
}
