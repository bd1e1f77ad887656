package cpu

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestPanelsAreAValue(t *testing.T) {
	w := filled(tensor.Float32, 2, 33, 5)
	p, err := pack(&goKernels, w)
	if err != nil {
		t.Fatal(err)
	}
	if p.Size() != 330 || p.Data() != any(p) || p.Uintptr() == 0 {
		t.Fatalf("size %d, data %v, address %#x", p.Size(), p.Data(), p.Uintptr())
	}
	if want := uintptr(2 * 64 * 5 * 4); p.MemSize() != want { // 33 rows take two panels
		t.Fatalf("memory of %d bytes, want %d", p.MemSize(), want)
	}
	if got, want := gorgonia.TypeOf(p), gorgonia.TypeOf(w); !got.Eq(want) {
		t.Fatalf("type %v, want %v", got, want)
	}
	if got, want := fmt.Sprint(p), "Packed{float32 (2, 33, 5) in panels of 32}"; got != want {
		t.Fatalf("%%v gives %q, want %q", got, want)
	}
	if backend.DeviceOf(p) != backend.Host {
		t.Fatalf("it is on %v", backend.DeviceOf(p))
	}
}

func TestPanelsAreNoPowerOfTwoApart(t *testing.T) {
	for size, want := range map[int]int{
		64: 1088, 65: 65, 4031: 4031, 4032: 5056, 4096: 5120, 4160: 5184, 4161: 4161, 3 << 20: 3<<20 + 1024,
	} {
		if got := apart(size); got != want {
			t.Errorf("panels of %d elements: %d apart, want %d", size, got, want)
		}
	}
	p, err := pack(&goKernels, filled(tensor.Float32, 2, 33, 128))
	if err != nil {
		t.Fatal(err)
	}
	if want := uintptr(2 * (2*32*128 + 1024) * 4); p.MemSize() != want {
		t.Fatalf("memory of %d bytes, want %d", p.MemSize(), want)
	}
}

func TestClonedPanelsAreTheirOwn(t *testing.T) {
	w := filled(tensor.Float32, 3, 4)
	p, err := pack(&goKernels, w)
	if err != nil {
		t.Fatal(err)
	}
	v, err := gorgonia.CloneValue(p)
	if err != nil {
		t.Fatal(err)
	}
	clear(p.data[0])
	plain, err := v.(*panels).Unpack()
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, plain, w)
}
