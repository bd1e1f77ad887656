//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// newStack makes a weight of 3 experts, each of a block of 2 rows and one of 4, on a device.
func newStack(t testing.TB, d *Device) *backend.ExpertStack {
	t.Helper()
	rng := rand.New(rand.NewPCG(16, 17))
	var blocks [][]backend.Value
	for range 3 {
		blocks = append(blocks, []backend.Value{must(d.Upload(normals(rng, 2, 8)))(t), must(d.Upload(normals(rng, 4, 8)))(t)})
	}
	return must(backend.StackExperts(blocks))(t)
}

// newProduct makes the other operands of a product with such a stack.
func newProduct(t testing.TB, d *Device) (out, rows backend.Value, p *backend.Plan) {
	t.Helper()
	p = must(backend.NewPlan(d, 5, 1, 3, 1, 5))(t)
	ids := must(d.Upload(tensor.New(tensor.WithShape(5, 1), tensor.WithBacking([]int32{0, 2, 1, 0, 2}))))(t)
	if err := (Portable{}).Plan(p, ids, nil); err != nil {
		t.Fatal(err)
	}
	return must(d.New(tensor.Float32, tensor.Shape{5, 6}))(t), must(d.Upload(normals(rand.New(rand.NewPCG(18, 19)), 5, 8)))(t), p
}

func tables(d *Device) int {
	d.stacks.mu.Lock()
	defer d.stacks.mu.Unlock()
	return len(d.stacks.tables)
}

func TestStackTableLivesAsLongAsTheStack(t *testing.T) {
	d := testDevice(t)
	d.collectGarbage()
	before := tables(d)
	out, rows, p := newProduct(t, d)
	stack := newStack(t, d)
	for range 3 {
		if err := (Portable{}).GroupedMatMul(out, rows, stack, p); err != nil {
			t.Fatal(err)
		}
	}
	if n := tables(d) - before; n != 1 {
		t.Errorf("%d tables for one stack", n)
	}
	first := stack.Expert(0)[0].(*Array).reference
	d.collectGarbage() // the stack
	d.collectGarbage() // the blocks are unreachable once the table is gone
	if n := tables(d) - before; n != 0 {
		t.Errorf("%d tables are left for an unreachable stack", n)
	}
	if state := first.state.Load(); state != referenceClosed {
		t.Errorf("a block of an unreachable stack has state %#x, want closed and without users", state)
	}
}

func TestStackRefuses(t *testing.T) {
	d := testDevice(t)
	out, rows, p := newProduct(t, d)
	multiply := func(stack *backend.ExpertStack) error { return Portable{}.GroupedMatMul(out, rows, stack, p) }

	closed := newStack(t, d)
	if err := multiply(closed); err != nil {
		t.Fatal(err)
	}
	for range 2 { // with its table and without
		if err := closed.Expert(2)[1].(*Array).Close(); err != nil {
			t.Fatal(err)
		}
		if err := multiply(closed); !errors.Is(err, ErrClosed) {
			t.Errorf("a stack with a closed block: %v", err)
		}
		closed = newStack(t, d)
	}

	host := must(backend.To(backend.Host, newStack(t, d)))(t)
	if err := multiply(host.(*backend.ExpertStack)); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("a stack on the host: %v", err)
	}
	if err := multiply(nil); !errors.Is(err, backend.ErrValue) {
		t.Errorf("no stack: %v", err)
	}

	stack := newStack(t, d)
	capture := func() error {
		g, err := Capture(d, func() error { return multiply(stack) })
		if err == nil {
			err = errors.Join(g.Replay(), d.Sync(), g.Close())
		}
		return err
	}
	if err := capture(); !errors.Is(err, ErrCapturing) {
		t.Errorf("the first use of a stack in a capture: %v", err)
	}
	if err := errors.Join(multiply(stack), capture()); err != nil {
		t.Errorf("the second use of a stack in a capture: %v", err)
	}
}
