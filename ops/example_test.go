package ops_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
)

// Three tokens go to two experts: their rows are brought together expert by expert, and back.
func Example() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(3, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))))
	logits := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("logits"), gorgonia.WithShape(3, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{0, 1, 1, 0, 0, 1}))))

	ids, err := ops.TopK(logits, 1)
	if err != nil {
		log.Fatal(err)
	}
	gates, err := ops.Gates(logits, ids, ops.SoftmaxTopK)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := ops.Plan(ids, nil, ops.PlanConfig{Experts: 2})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := ops.Permute(x, plan)
	if err != nil {
		log.Fatal(err)
	}
	y, err := ops.Unpermute(rows, gates, plan)
	if err != nil {
		log.Fatal(err)
	}

	machine := gorgonia.NewTapeMachine(g)
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("experts", ids.Value().Data())
	fmt.Println("rows   ", rows.Value().Data())
	fmt.Println("back   ", y.Value().Data())
	if err := machine.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// experts [1 0 1]
	// rows    [3 4 1 2 5 6]
	// back    [1 2 3 4 5 6]
}

// Every op is also a function on values.
func ExampleEvalPlan() {
	ids := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int32{0, 2, 2, -1}))
	plan, err := ops.EvalPlan(ids, nil, ops.PlanConfig{Experts: 3, Align: 2})
	if err != nil {
		log.Fatal(err)
	}
	rowExpert, err := backend.Slice[int32](plan.RowExpert)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan)
	fmt.Println(rowExpert)
	// Output:
	// Plan{T=2 K=2 E=3 A=2 R=6 on cpu}
	// [0 -1 2 2 -1 -1]
}

// A graph that computes on a device and goes on in Gorgonia's own ops. The device is the host here, so that this runs everywhere;
// a GPU is cuda.Open(0).
func ExampleToDevice() {
	device := backend.Host
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(1, 4),
		gorgonia.WithValue(tensor.New(tensor.WithShape(1, 4), tensor.WithBacking([]float32{1, 2, 3, 4}))))
	there, err := ops.ToDevice(x, device)
	if err != nil {
		log.Fatal(err)
	}
	sum, err := ops.Add(there, there)
	if err != nil {
		log.Fatal(err)
	}
	back, err := ops.ToHost(sum)
	if err != nil {
		log.Fatal(err)
	}
	y, err := gorgonia.Neg(back)
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
	// Output: [-2 -4 -6 -8]
}
