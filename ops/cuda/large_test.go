//go:build cu && linux && cgo

package cuda

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"

	"gorgonia.org/cu"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// poison fills an Array with bytes that make NaN of every float.
func (a *Array) poison() error {
	return a.device.do("fill", func() error {
		return cu.MemsetD8Async(cu.DevicePtr(a.block.Address), 0xff, a.bytes(), a.device.stream)
	})
}

// readRows copies whole rows of a matrix to the host, from the first on as many as fit.
func (a *Array) readRows(first int, to []byte) error {
	row := int(a.bytes()) / a.shape[0]
	return a.device.do("read", func() error {
		from := cu.DevicePtr(a.block.Address) + cu.DevicePtr(first*row)
		err := cu.MemcpyDtoHAsync(unsafe.Pointer(&to[0]), from, int64(len(to)), a.device.stream)
		return errors.Join(err, a.device.stream.Synchronize())
	})
}

// TestMoreThan32BitsOfElements permutes 131 072 tokens of 7168 bfloat16 to 8 experts each, 7.5·10⁹ elements, and back. The tokens
// are rows of a small table, so that the host can tell every row of the result.
func TestMoreThan32BitsOfElements(t *testing.T) {
	const (
		tokens, slots, hidden  = 131072, 8, 7168
		experts, align, tabled = 256, 128, 509
		rowBytes               = 2 * hidden
	)
	d := computingDevice(t)
	rows := must(backend.RowBound(tokens, slots, experts, align))(t)
	if err := errors.Join(d.Sync(), d.Trim()); err != nil {
		t.Fatal(err)
	}
	if need, m := int64(rows+2*tokens)*rowBytes+1<<30, must(d.Memory())(t); m.Free < need {
		t.Skipf("this test needs %d bytes of the GPU's memory, %d are free", need, m.Free)
	}

	rng := rand.New(rand.NewPCG(22, 23))
	table := must(backend.Host.New(backend.BFloat16, tensor.Shape{tabled, hidden}))(t)
	elements := must(backend.Slice[backend.BF16](table))(t)
	for i := range elements {
		elements[i] = backend.ToBF16(float32(rng.NormFloat64()))
	}
	patterns := must(backend.Bytes(table))(t)
	from := make([]int32, tokens) // the row of the table that a token is
	ids := make([]int32, tokens*slots)
	gates := make([]float32, tokens*slots)
	for i := range from {
		from[i] = int32(rng.IntN(tabled))
		// Eight experts apart from each other, and gates that sum to 1 without rounding: y is x, bit by bit.
		first, step := rng.IntN(experts), 1+2*rng.IntN(experts/2)
		for k := range slots {
			ids[i*slots+k] = int32((first + k*step) % experts)
			gates[i*slots+k] = []float32{1, 2, 1, 3, 1, 4, 2, 2}[(k+first)%slots] / 16
		}
	}
	upload := func(v *tensor.Dense) *Array { return must(d.Upload(v))(t).(*Array) }
	matrix := func(backing any) *tensor.Dense {
		return tensor.New(tensor.WithShape(tokens, slots), tensor.WithBacking(backing))
	}
	x := must(ops.EvalEmbedding(backend.BFloat16, upload(table.(*tensor.Dense)), upload(tensor.New(tensor.WithBacking(from)))))(t).(*Array)
	plan := must(ops.EvalPlan(upload(matrix(ids)), nil, ops.PlanConfig{Experts: experts, Align: align}))(t)
	permuted := must(d.New(backend.BFloat16, tensor.Shape{rows, hidden}))(t).(*Array)
	y := must(d.New(backend.BFloat16, tensor.Shape{tokens, hidden}))(t).(*Array)
	if err := errors.Join(permuted.poison(), y.poison(), Portable{}.Permute(permuted, x, plan),
		Portable{}.Unpermute(y, permuted, upload(matrix(gates)), plan), d.Sync()); err != nil {
		t.Fatal(err)
	}
	defer func() { x.Close(); permuted.Close(); y.Close() }()

	pattern := func(token int) []byte { return patterns[int(from[token])*rowBytes:][:rowBytes] }
	const chunk = 2048 // rows
	read := make([]byte, chunk*rowBytes)
	for first := 0; first < tokens; first += chunk {
		if err := y.readRows(first, read); err != nil {
			t.Fatal(err)
		}
		for i := range chunk {
			if !bytes.Equal(read[i*rowBytes:][:rowBytes], pattern(first+i)) {
				t.Fatalf("token %d did not come back as it was", first+i)
			}
		}
	}

	// Rows around the element 2³² and at both ends, and others.
	rowSlot := must(backend.Slice[int32](must(d.Download(plan.RowSlot))(t)))(t)
	sample := []int{0, 1<<31/hidden - 1, 1 << 31 / hidden, 1<<31/hidden + 1, 1<<32/hidden - 1, 1 << 32 / hidden, 1<<32/hidden + 1, rows - 1}
	for range 2000 {
		sample = append(sample, rng.IntN(rows))
	}
	row, zero := read[:rowBytes], make([]byte, rowBytes)
	padding := 0
	for _, r := range sample {
		if err := permuted.readRows(r, row); err != nil {
			t.Fatal(err)
		}
		want := zero
		if slot := rowSlot[r]; slot >= 0 {
			want = pattern(int(slot) / slots)
		} else {
			padding++
		}
		if !bytes.Equal(row, want) {
			t.Fatalf("row %d, of slot %d, is not what it should be", r, rowSlot[r])
		}
	}
	t.Logf("R = %d rows; %d of %d looked at are padding", rows, padding, len(sample))
}
