package conformance_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/backend/conformance"
	"github.com/gorgonia/moe/ops/cpu"
)

// A planner's own tests, fuzz tests say, can hold single plans to the contract.
func ExampleCheckPlan() {
	ids := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]int32{1, 0, 1, -1, 0, 1}))
	p, err := backend.NewPlan(backend.Host, 3, 2, 2, 4, 8)
	if err != nil {
		log.Fatal(err)
	}
	if err := (cpu.Go{}).Plan(p, ids, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(conformance.CheckPlan(p, ids, nil))

	rowExpert, err := backend.Slice[int32](p.RowExpert)
	if err != nil {
		log.Fatal(err)
	}
	rowExpert[3] = 0
	fmt.Println(conformance.CheckPlan(p, ids, nil))
	// Output:
	// <nil>
	// plan: padding row 3 has slot -1 and expert 0, want -1 and -1
}
